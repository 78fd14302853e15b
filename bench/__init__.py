"""The benchmark harness. It measures unspool and other programs on the same files in the same run.

Compare the ratios, not the absolute figures. Nothing here is a test.

python -m bench                 a first figure: whole `get` of 1 GiB, beside cp
python -m bench big             one big file against every peer
python -m bench --help          the other cases
python -m bench CASE --help     how to make one larger or smaller

case.py and cases/ define what is measured; peer.py and servers.py define the programs compared; measure.py and results.py
measure them in turns; report.py and plots.py print and draw the results. programs.py and readers.py run as separate processes.
"""
