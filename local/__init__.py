"""The laptop cloud: the template on an embedded AWS, against the simulated WeChat, with one front door."""

import signal
import sys
from pathlib import Path

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # python -m local, still loading: Ctrl-C ends it without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# What the functions find in a layer, this program finds in its folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "layers/payments/python"))
