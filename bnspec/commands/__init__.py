"""The commands, one a file: `add_command` names the options, the rest does what was asked and gives the exit code.

Heavy imports wait in the functions until a command needs them.
"""

EXIT_HELP = (
    "exit codes: 0 conforms, 1 does not conform, 2 wrong usage, 3 incomplete, 4 a fault of bnspec, 130 interrupted"
)
