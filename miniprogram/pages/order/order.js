const { moment } = require("../../format.js")
const show = require("../../show.js")
const { createFollower } = require("../../follow.js")
const app = getApp()

Page({
  data: { t: app.t, order: null, message: "", note: "", busy: "", step: "" },
  onLoad({ order_sn }) {
    wx.setNavigationBarTitle({ title: app.t.title.order })
    this.order_sn = order_sn
    this.follower = createFollower({
      ask: () => app.pay.order(order_sn, { patient: false }),
      show: (told, pace) => this.show(told, pace),
      lost: (error, since) => this.lost(error, since),
    })
  },
  onShow() {
    return this.follower.start()
  },
  onHide() {
    this.follower.stop()
  },
  onUnload() {
    this.gone = true
    this.follower.stop()
  },
  onPullDownRefresh() {
    return this.onRetry().then(() => wx.stopPullDownRefresh())
  },
  onRetry() {
    this.setData({ message: "" })
    return this.follower.refresh()
  },

  // Until when: while there is a code, while money moves, and while it can be paid, cancelled or refunded elsewhere.
  show(told, pace) {
    const before = this.data.order
    const order = show.order(told, app.t)
    this.setData({ order, note: "", message: before && before.word !== order.word ? "" : this.data.message })
    if (this.data.busy === "pay") return null // pay.js looks while it pays
    return show.next(order, pace, told.poll_after_ms)
  },
  lost(error, since) {
    const why = error ? error.text || app.t.broken : app.t.late
    this.setData({ note: since !== null ? app.t.asOf + moment(since) : why })
  },

  async onPay() {
    if (this.data.busy) return
    this.setData({ busy: "pay", message: "" })
    try {
      await app.pay.pay(this.order_sn, (step) => this.setData({ step: app.t.steps[step] || "" }))
      if (!this.gone) wx.redirectTo({ url: `/pages/result/result?order_sn=${this.order_sn}` })
    } catch (error) {
      this.setData({ busy: "", step: "" })
      await this.refused(error)
    } finally {
      this.setData({ busy: "", step: "" })
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
    if (this.data.busy) return
    this.setData({ busy: "cancel", message: "" })
    try {
      await app.pay.cancel(this.order_sn)
      if (!this.gone) await this.follower.refresh()
    } catch (error) {
      await this.refused(error)
    } finally {
      this.setData({ busy: "" })
    }
  },

  // What did not work stays to be read, beside the order as it is now.
  async refused(error) {
    this.setData({ message: error.text })
    if (!this.gone) await this.follower.refresh()
    this.setData({ message: error.text })
  },
})
