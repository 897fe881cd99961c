const show = require('../../show.js')
const app = getApp()

Page({
  data: { t: app.t, orders: null, next: '', message: '' },
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
    this.setData({ message: '' })
    try {
      const told = await app.pay.orders(before)
      const orders = told.orders.map((order) => show.order(order, app.t))
      this.setData({ orders: before ? [...this.data.orders, ...orders] : orders, next: told.next || '' })
    } catch (error) {
      this.setData({ message: error.text })
    }
  },
  onRetry() {
    return this.load()
  },
  onOrder(event) {
    wx.navigateTo({ url: `/pages/order/order?order_sn=${event.currentTarget.dataset.id}` })
  },
  onFind() {
    wx.switchTab({ url: '/pages/homes/homes' })
  },
})
