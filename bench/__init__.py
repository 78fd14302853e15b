"""The benchmark harness: real peers, the same files, the same run. Figures count as ratios; nothing here is a test.

python -m bench                 a first figure: whole `get` of 1 GiB, beside cp
python -m bench big             one big file against every peer
python -m bench --help          the rest
"""
