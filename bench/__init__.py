"""The benchmark harness: real peers, the same files, the same run. Figures count as ratios; nothing here is a test.

python -m bench                 a first figure: whole `get` of 1 GiB, beside cp
python -m bench big             one big file against every peer
python -m bench --help          the other cases
python -m bench CASE --help     how to make one larger or smaller

case.py and cases/ say what is measured; peer.py and servers.py what with; measure.py and results.py measure, in turns;
report.py and plots.py show it. programs.py and readers.py are run as processes of their own.
"""
