"""The worker's side of jobs: accepts leases, runs programs in sandboxes, and delivers what came of them.

`service` accepts sessions and keeps the runs; `worker_run` drives one; `opening` checks what is asked;
`steps` does the work before and after the program; `log_book` keeps its log.
"""
