"""What can be chosen, by callers in Python and on the command line: one declaration for each option.

`kinds` says what a value may be, `declared` lists the options, `page` makes docs/options.md of them.
"""
