const show = require('../../show.js')
const app = getApp()

const REFRESH_MS = 3000 // while something is on its way that comes by itself

Page({
  data: { t: app.t, order: null, message: '', busy: '' },
  onLoad({ order_sn }) {
    wx.setNavigationBarTitle({ title: app.t.title.order })
    this.order_sn = order_sn
  },
  onShow() {
    this.visible = true
    return this.load()
  },
  onHide() {
    this.visible = false
    clearTimeout(this.timer)
  },
  onUnload() {
    this.onHide()
  },
  onPullDownRefresh() {
    return this.load().then(() => wx.stopPullDownRefresh())
  },
  async load() {
    clearTimeout(this.timer)
    try {
      const order = show.order(await app.pay.order(this.order_sn), app.t)
      this.setData({ order, message: '' })
      if (this.visible && (order.refunding || order.closing)) this.timer = setTimeout(() => this.load(), REFRESH_MS)
    } catch (error) {
      this.setData({ message: error.text })
    }
  },
  async onPay() {
    this.setData({ busy: 'pay' })
    try {
      const { outcome } = await app.pay.pay(this.order_sn)
      wx.redirectTo({ url: `/pages/result/result?order_sn=${this.order_sn}&outcome=${outcome}` })
    } catch (error) {
      this.setData({ message: error.text })
    } finally {
      this.setData({ busy: '' })
    }
  },
  onCancel() {
    wx.showModal({
      title: app.t.cancel,
      content: app.t.cancelAsk,
      confirmText: app.t.yes,
      cancelText: app.t.no,
      success: ({ confirm }) => confirm && this.cancel(),
    })
  },
  async cancel() {
    this.setData({ busy: 'cancel' })
    try {
      await app.pay.cancel(this.order_sn)
      await this.load()
    } catch (error) {
      await this.load()
      this.setData({ message: error.text })
    } finally {
      this.setData({ busy: '' })
    }
  },
})
