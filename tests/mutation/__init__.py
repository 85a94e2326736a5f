"""Automatic mutation of the references: who notices when a character of them changes?"""
