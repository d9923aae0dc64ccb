"""Attention and its like: a table that is made, contracted and forgotten by blocks of rows.

In: drafts. Out: drafts, and which of them become one kernel each. `schedule.plan` calls
`collect.collect` before it fuses the rest; the modules beside it each do one thing:

* `table` says what a table (scores: batch, rows, columns) is and puts stages over its axes;
* `region` finds the stages that compute tables of one shape, and what contracts them;
* `collect` makes kernels of them, in each of which a table is computed again from its factors;
* `quotient` lets a sum be divided instead of each of its terms.
"""
