"""Automatic mutation of the references and of the specification: who notices when a character of them changes?"""
