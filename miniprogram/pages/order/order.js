const { filled, moment, yuan } = require("../../format.js")
const show = require("../../show.js")
const { createFollower } = require("../../follow.js")
const app = getApp()

const MAX_REASON = 24

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
  cancel() {
    return this.doing("cancel", async () => {
      await app.pay.cancel(this.order_sn)
      if (!this.gone) await this.follower.refresh()
    })
  },

  // First what would come back, then the guest's yes to that sum, and, where staff decide, his reason. A date may have
  // passed while the questions stood there: then it is another sum, nothing is done, and it is asked anew.
  async onRefund() {
    const told = await this.doing("refund", () => this.quote())
    if (told && !this.gone) this.offer(told)
  },
  // What would come back; null when it is done already, from another phone.
  async quote() {
    const told = await app.pay.refundRequest(this.order_sn, { dry_run: true })
    if (told.state === "shown") return told
    await this.given(told)
    return null
  },
  offer({ refund_fen, total_fen, needs_staff }, changed = "") {
    const words = app.t.offer
    const byRule = (refund_fen === total_fen && words.all) || (refund_fen ? words.part : words.none)
    const byStaff = refund_fen ? words.staff : words.staffNone
    const text = filled(needs_staff ? byStaff : byRule, { sum: yuan(refund_fen), total: yuan(total_fen) })
    wx.showModal({
      title: needs_staff ? app.t.askRefund : app.t.giveUp,
      content: changed + text,
      confirmText: app.t.sure,
      cancelText: app.t.no,
      success: ({ confirm }) => confirm && (needs_staff ? this.askWhy(refund_fen) : this.refund(refund_fen)),
    })
  },
  // `content` is what stands in the field, and comes back as the guest leaves it.
  askWhy(refund_fen, typed = "") {
    wx.showModal({
      title: typed ? app.t.why.shorter : app.t.why.title,
      content: typed,
      editable: true,
      placeholderText: app.t.why.hint,
      confirmText: app.t.why.send,
      cancelText: app.t.no,
      success: ({ confirm, content }) => {
        if (!confirm) return null
        const reason = (content || "").trim()
        if (Array.from(reason).length > MAX_REASON) return this.askWhy(refund_fen, reason)
        return this.refund(refund_fen, reason)
      },
    })
  },
  async refund(refund_fen, reason) {
    const other = await this.doing("refund", async () => {
      try {
        const asked = { expected_refund_fen: refund_fen, reason }
        return await this.given(await app.pay.refundRequest(this.order_sn, asked))
      } catch (error) {
        if (error.kind !== "price") throw error
        return this.quote()
      }
    })
    if (other && !this.gone) this.offer(other, app.t.offer.changed)
  },
  // It is done: that is shown at once, whether the order can be read or not.
  async given(done) {
    const noCode = done.state === "refunding" ? { code: "", qr: "", free: "" } : {}
    this.setData({ order: { ...this.data.order, ...noCode, refundable: false, wish: show.done(done, app.t) } })
    if (!this.gone) await this.follower.refresh()
    return null
  },

  // One thing at a time. What did not work is told.
  async doing(what, start) {
    if (this.data.busy) return null
    this.setData({ busy: what, message: "" })
    try {
      return await start()
    } catch (error) {
      await this.refused(error)
      return null
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
