"""The laptop cloud: the template on an embedded AWS, against the simulated WeChat, with one front door."""
