"""The laptop cloud: the template on an embedded AWS, against the simulated WeChat, with one front door."""

import sys
from pathlib import Path

# What the functions find in a layer, this program finds in its folder.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "layers/payments/python"))
