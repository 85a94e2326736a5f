"""Which of Cosmic Ray's operators change a file of the specification."""

from __future__ import annotations

OPPOSITES = frozenset({
    "AddNot", "Add_Sub", "BitAnd_BitOr", "BitOr_BitAnd", "Delete_Invert", "Delete_Not", "Delete_USub", "Div_Mul",
    "Eq_NotEq", "ExceptionReplacer", "FloorDiv_Div", "GtE_Gt", "GtE_Lt", "Gt_GtE", "Gt_LtE", "IsNot_Is", "Is_IsNot",
    "LShift_RShift", "LtE_Gt", "LtE_Lt", "Lt_GtE", "Lt_LtE", "Mod_Mul", "Mul_Div", "NotEq_Eq", "NumberReplacer",
    "Pow_Mul", "RShift_LShift", "RemoveDecorator", "ReplaceAndWithOr", "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak", "ReplaceFalseWithTrue", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "Sub_Add",
    "ZeroIterationForLoop",
})  # fmt: skip
"""Operators by the ends of their names: each sign becomes its opposite, a comparison turns round or moves by its end
point. Where eleven changes of one `+` die together, one tells as much."""
