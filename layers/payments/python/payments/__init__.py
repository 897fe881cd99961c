"""What two or more functions share: the domain, the table, the WeChat clients, the settings.

`domain` is pure: no clock, no randomness, no I/O. `products` are what can be sold. `store` alone knows items and keys;
`wechat` speaks to WeChat; `edge` is what functions stand on. `recording` is the only code that records money,
`cancellation` the only code that ends an unpaid order; `settings` reads a function's variables and secrets.
"""
