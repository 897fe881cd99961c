const { moment } = require("../../format.js")
const show = require("../../show.js")
const app = getApp()

const LATE_MS = 8000

Page({
  data: { t: app.t, orders: null, next: "", message: "" },
  asked: 0, // only the latest answer counts
  onShow() {
    wx.setNavigationBarTitle({ title: app.t.title.orders })
    return this.load()
  },
  onPullDownRefresh() {
    return this.load().then(() => wx.stopPullDownRefresh())
  },
  onMore() {
    return this.load(this.data.next)
  },
  async load(before) {
    const mine = ++this.asked
    const at = Date.now()
    this.setData({ message: "" })
    // What is shown may be old while the answer does not come, and when none comes.
    const old = () => mine === this.asked && this.setData({ message: this.at ? app.t.asOf + moment(this.at) : "" })
    const late = setTimeout(old, LATE_MS)
    try {
      const told = await app.pay.orders(before)
      if (mine !== this.asked) return
      const orders = told.orders.map((order) => show.order(order, app.t))
      this.setData({ orders: before ? [...this.data.orders, ...orders] : orders, next: told.next || "", message: "" })
      if (!before) this.at = at
    } catch (error) {
      if (mine !== this.asked) return
      if (this.at) old()
      else this.setData({ message: error.text || app.t.broken })
    } finally {
      clearTimeout(late)
    }
  },
  onRetry() {
    return this.load()
  },
  onOrder(event) {
    wx.navigateTo({ url: `/pages/order/order?order_sn=${event.currentTarget.dataset.id}` })
  },
  onFind() {
    wx.switchTab({ url: "/pages/homes/homes" })
  },
})
