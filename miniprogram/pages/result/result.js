const show = require('../../show.js')
const app = getApp()

Page({
  data: { t: app.t, outcome: '', text: '', order: null, busy: false },
  // `error`: a PayError's kind, when no cashier opened for the order.
  onLoad({ order_sn, outcome = 'waiting', error }) {
    wx.setNavigationBarTitle({ title: app.t.title.result })
    this.order_sn = order_sn
    return this.settle(error ? 'error' : outcome, app.pay.texts[error || outcome])
  },
  onUnload() {
    this.gone = true
  },

  // While it is waiting it is asked for on and on: only the server's answer ends it.
  async settle(outcome, text) {
    this.setData({ outcome, text })
    while (this.data.outcome === 'waiting' && !this.gone) {
      const told = await app.pay.follow(this.order_sn)
      this.setData({ outcome: told.outcome, text: told.text })
    }
    if (!this.gone) await this.load()
  },
  async load() {
    try {
      const told = await app.pay.order(this.order_sn)
      this.setData({ order: show.order(told, app.t) })
    } catch (error) {
      this.setData({ text: `${this.data.text} ${error.text}` })
    }
  },
  async onPay() {
    this.setData({ busy: true })
    try {
      const told = await app.pay.pay(this.order_sn)
      await this.settle(told.outcome, told.text)
    } catch (error) {
      this.setData({ outcome: 'error', text: error.text })
    } finally {
      this.setData({ busy: false })
    }
  },
  onSee() {
    wx.redirectTo({ url: `/pages/order/order?order_sn=${this.order_sn}` })
  },
  onRebook() {
    wx.switchTab({ url: '/pages/homes/homes' })
  },
})
