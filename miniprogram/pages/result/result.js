const { moment } = require("../../format.js")
const show = require("../../show.js")
const { createFollower } = require("../../follow.js")
const app = getApp()

Page({
  data: { t: app.t, outcome: "", text: "", note: "", order: null, busy: false, step: "" },
  // What the page says comes from pay.js and the server, never from its address: WeChat opens it again days later.
  onLoad({ order_sn }) {
    wx.setNavigationBarTitle({ title: app.t.title.result })
    this.order_sn = order_sn
    this.say(app.pay.last(order_sn))
    this.follower = createFollower({
      ask: () => this.ask(),
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
  onRetry() {
    return this.follower.refresh()
  },

  // How paying ended: an outcome, a PayError, or nothing when this app was started anew.
  say(told) {
    const { outcome = "error", text } = told || { outcome: "waiting", text: app.pay.texts.outcome.waiting }
    this.setData({ outcome, text })
  },

  // pay.js looks while it pays, so the page does not.
  show(told, pace) {
    const next = this.shown(told, pace)
    return this.data.busy ? null : next
  },

  // While the payment is open, or held, the server is asked for that, and asks WeChat; then, and once at first, for the
  // order.
  async ask() {
    const { outcome, order } = this.data
    const open = ["waiting", "cancelled", "error", "hold"].includes(outcome)
    if (open && (order || outcome === "waiting")) {
      const payment = await app.pay.look(this.order_sn)
      if (payment.unanswered) throw { text: payment.note, retryAfterMs: payment.poll_after_ms }
      if (payment.outcome === "waiting") return { payment }
      this.say(payment)
      this.pause = payment.poll_after_ms
    }
    return { order: await app.pay.order(this.order_sn, { patient: false }) }
  },
  shown({ payment, order: told }, pace) {
    if (payment) {
      if (this.data.outcome === "waiting" || payment.payment_status === "SUCCESS") this.say(payment)
      this.setData({ note: "", retry: payment.poll_after_ms === null })
      return payment.poll_after_ms
    }
    const order = show.order(told, app.t)
    this.setData({ order, note: "", retry: false })
    const end = app.pay.outcomeOf(told)
    if (end.outcome !== "waiting") this.say(end)
    return show.next(order, pace, this.pause)
  },
  lost(error, since) {
    const why = error ? error.text || app.t.broken : app.t.late
    this.setData({ note: since !== null && this.data.order ? app.t.asOf + moment(since) : why, retry: true })
  },

  async onPay() {
    if (this.data.busy) return
    this.setData({ busy: true })
    try {
      this.say(await app.pay.pay(this.order_sn, (step) => this.setData({ step: app.t.steps[step] || "" })))
    } catch (error) {
      this.say(error)
    } finally {
      this.setData({ busy: false, step: "" })
      if (!this.gone) await this.follower.refresh()
    }
  },
  onSee() {
    wx.redirectTo({ url: `/pages/order/order?order_sn=${this.order_sn}` })
  },
  onRebook() {
    const { order } = this.data
    wx.switchTab({ url: order ? order.tab : "/pages/homes/homes" })
  },
})
