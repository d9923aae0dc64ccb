"""The LLVM renderer: loop IR in, LLVM IR text in final SSA form with explicit vectors out.

`render.render` walks statements; `builder` numbers values and writes lines; `types`, `index`,
`memory`, `cast` and `ops` render what their names say; `math`, `power` and `trigonometry` are
exp, log, tanh, erf, pow, sin and their like as polynomials on vectors.
"""
