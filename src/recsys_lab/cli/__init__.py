"""The command line: one file a verb, which checks nothing and computes nothing itself.

`main` picks the verb and tells the shell how it ended; `app` lets Hydra compose and check the
config; a verb's file calls the package that does the work. Nothing imports this package.
"""
