"""The deployed bundle as tests meet it: the real handlers over moto's table, the simulator as WeChat, all in this
process. `Shop` holds it together; a phone, staff, WeChat, the events, the clock with the janitor, and the table's items
are one small object each."""

from tests.shop.shop import Shop

__all__ = ["Shop"]
