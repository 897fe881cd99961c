const { yuan, filled, day, later, sessionWords, moment } = require("../../format.js")
const buy = require("../../buying.js")
const app = getApp()

const MOST_SEATS = 20
const MOST_DAYS = 92 // that may be asked for at once
const YOUNG_MS = 30000 // what is free is asked for again when it is older

Page({
  data: {
    t: app.t,
    course: null,
    sessions: [], // as they are shown
    chosen: "",
    seats: 1,
    remark: "",
    step: "",
    message: "", // what became of the order
    refused: "", // why a session or its seats cannot be chosen
    note: "", // what is wrong with the list
    retry: false,
  },
  async onLoad({ course_id }) {
    wx.setNavigationBarTitle({ title: app.t.title.course })
    this.free = null // what is known: the sessions, and when they were asked for
    this.loads = 0
    try {
      const course = (await app.pay.offers("course")).offers.find((one) => one.course_id === course_id)
      if (!course) return this.setData({ message: app.t.noCourse })
      this.show({ course })
      await this.load()
      const first = this.sessions().find(({ free }) => free > 0)
      if (!this.data.chosen && first) this.show({ chosen: first.session })
    } catch (error) {
      this.setData({ message: error.text || app.t.broken })
    }
  },
  onShow() {
    const young = this.free && Date.now() - this.free.at < YOUNG_MS
    if (this.data.course && !young) return this.load()
  },
  onUnload() {
    this.gone = true
  },

  // --- what is free

  sessions() {
    return this.free ? this.free.sessions : []
  },

  // All sessions from today on. Only the latest question counts: an older one's answer may be out of date.
  async load() {
    const { course } = this.data
    const mine = ++this.loads
    const at = Date.now()
    this.show({ note: this.free ? "" : app.t.loading, retry: false })
    const today = day(at)
    const last = course.sessions.reduce((most, { session }) => (session > most ? session : most), today).slice(0, 10)
    const parts = []
    for (let from = today; from <= last; from = later(from, MOST_DAYS)) parts.push([from, later(from, MOST_DAYS - 1)])
    try {
      const told = await Promise.all(
        parts.map(([from, to]) => app.pay.availability("course", course.course_id, from, to)),
      )
      if (mine !== this.loads) return
      const sessions = told.reduce((all, part) => [...all, ...part.sessions], [])
      sessions.sort((one, other) => (one.session < other.session ? -1 : 1))
      this.free = { sessions, at }
      this.show({ note: sessions.length ? "" : app.t.noSession })
    } catch (error) {
      if (mine !== this.loads) return
      const why = error.status === 404 ? app.t.noCourse : error.text || app.t.broken
      this.show({ note: this.free ? app.t.asOf + moment(this.free.at) : why, retry: true })
    }
    this.settle()
  },
  onRetry() {
    return this.load()
  },

  // Takes back a choice that is known not to be free.
  settle() {
    const { chosen, seats } = this.data
    if (!this.free || !chosen) return this.show()
    const session = this.sessions().find((one) => one.session === chosen)
    if (!session || session.free < 1) {
      const why = session ? app.t.fullSession : app.t.goneSession
      return this.show({ chosen: "", refused: filled(why, { session: sessionWords(chosen, app.t) }) })
    }
    if (session.free >= seats) return this.show()
    this.show({ seats: session.free, refused: filled(app.t.fewerSeats, { free: session.free }) })
  },

  // --- what is shown

  // What is chosen, and what it costs: the sum that the order must have, or it is not placed.
  show(changes) {
    const { chosen, seats } = { ...this.data, ...changes }
    const { t } = app
    const session = this.sessions().find((one) => one.session === chosen && one.free > 0)
    const sessions = this.sessions().map((one) => ({
      session: one.session,
      when: sessionWords(one.session, t),
      length: `${one.minutes} ${t.minutes}`,
      price: yuan(one.price_fen),
      left: one.free > 0 ? filled(t.seatsLeft, { free: one.free }) : t.full,
      look: (one.session === chosen && "chosen") || (one.free > 0 ? "" : "taken"),
    }))
    const total_fen = session ? session.price_fen * seats : 0
    this.setData({
      ...changes,
      sessions,
      when: session ? sessionWords(session.session, t) : t.chooseSession,
      price: session ? `${yuan(session.price_fen)} × ${seats}` : "",
      total: session ? yuan(total_fen) : "",
      total_fen,
      fewer: seats > 1,
      more: Boolean(session) && seats < Math.min(MOST_SEATS, session.free),
    })
  },

  // --- what is chosen

  choose(changes) {
    this.show({ message: "", refused: "", ...changes })
    this.settle()
  },
  onSession(event) {
    this.choose({ chosen: event.currentTarget.dataset.session })
  },
  onFewer() {
    if (this.data.fewer) this.choose({ seats: this.data.seats - 1 })
  },
  onMore() {
    if (this.data.more) this.choose({ seats: this.data.seats + 1 })
  },
  onRemark(event) {
    this.setData({ remark: event.detail.value })
  },

  async onBuy() {
    const { course, chosen, seats, remark, step, total, total_fen } = this.data
    if (step || !total) return
    const error = await buy(this, {
      service_type: "course",
      course_id: course.course_id,
      session: chosen,
      seats,
      remark,
      expected_total_fen: total_fen,
    })
    if (!error || !["soldout", "price"].includes(error.kind)) return
    const free = Object((error.problem || {}).free)[chosen]
    if (free > 0) this.setData({ message: `${this.data.message} (${filled(app.t.seatsLeft, { free })})` })
    this.free = null
    return this.load()
  },
})
