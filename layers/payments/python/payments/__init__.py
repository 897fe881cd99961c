"""What two or more functions share: the domain, the table, the WeChat clients, the settings.

`order`, `payment`, `refund` and `business` are pure: no clock, no randomness, no I/O. `table` alone knows item shapes
and keys; `wechat_pay` and `mini_program` speak to WeChat; `settings` reads the environment.
"""
