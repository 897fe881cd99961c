const { yuan, filled, day, later, nightsOf, dayWords, weekdayWords, moment } = require("../../format.js")
const buy = require("../../buying.js")
const app = getApp()

const MAX_NIGHTS = 90
const MAX_DAYS_AHEAD = 365
const YOUNG_MS = 30000 // what is free is asked for again when it is older
const CELLS = 42 // six weeks, so that nothing below moves from month to month

const monthOf = (date) => date.slice(0, 7)
const isFree = (night) => night.price_fen !== null && night.free > 0

Page({
  data: {
    t: app.t,
    home: null,
    month: "",
    start: "",
    end: "",
    people: 2,
    need_food: false,
    remark: "",
    step: "",
    message: "", // what became of the order
    refused: "", // why a day cannot be chosen
    note: "", // what is wrong with the calendar
    retry: false,
  },
  async onLoad({ homestay_id }) {
    wx.setNavigationBarTitle({ title: app.t.title.book })
    this.months = {} // of each that is known: its nights by date, when and as which question they were asked for
    this.asked = 0
    this.outdated = 0 // answers to what was asked before do not count
    this.loads = 0
    try {
      const home = (await app.pay.offers("homestay")).offers.find((one) => one.homestay_id === homestay_id)
      if (!home) return this.setData({ message: app.t.noHome })
      const tomorrow = day(Date.now(), 1)
      const food = yuan(home.food_price_fen)
      this.show({ home, food, people: Math.min(2, home.capacity), month: monthOf(tomorrow) })
      await this.load()
      const night = this.night(tomorrow)
      if (!this.data.start && night && isFree(night)) this.show({ start: tomorrow, end: later(tomorrow, 1) })
    } catch (error) {
      this.setData({ message: error.text || app.t.broken })
    }
  },
  onShow() {
    if (this.data.home) return this.load()
  },
  onUnload() {
    this.gone = true
  },

  // --- what is free

  night(date) {
    const month = this.months[monthOf(date)]
    return month && month.nights[date]
  },

  // The nights of a stay, whether they are known or not; of one night, while its end is not chosen.
  stay(start, end) {
    const length = start ? nightsOf(start, end || later(start, 1)) : 0
    return Array.from({ length }, (_, n) => later(start, n)).map((date) => ({ date, night: this.night(date) }))
  },

  async fetch(month) {
    const known = this.months[month]
    const at = Date.now()
    if (known && at - known.at < YOUNG_MS) return
    const mine = ++this.asked
    const first = `${month}-01`
    const last = later(`${monthOf(later(first, 31))}-01`, -1)
    const told = await app.pay.availability("homestay", this.data.home.homestay_id, first, last)
    const newer = this.months[month]
    if (mine <= this.outdated || (newer && newer.asked > mine)) return
    const nights = {}
    told.nights.forEach((night) => (nights[night.date] = night))
    this.months[month] = { nights, at, asked: mine }
  },

  // Brings the month that is shown up to date, and those of the stay.
  async load() {
    const { month, start, end } = this.data
    const mine = ++this.loads
    const months = new Set([month, ...this.stay(start, end).map(({ date }) => monthOf(date))])
    let failure = null
    this.show({ note: this.months[month] ? "" : app.t.loading, retry: false })
    const failed = (error) => (failure = error)
    await Promise.all(Array.from(months).map((one) => this.fetch(one).catch(failed)))
    if (mine === this.loads) this.show({ note: failure ? this.why(failure) : "", retry: Boolean(failure) })
    this.settle()
  },
  why(failure) {
    const known = this.months[this.data.month]
    if (known) return app.t.asOf + moment(known.at)
    return failure.status === 404 ? app.t.noHome : failure.text || app.t.broken
  },
  onRetry() {
    return this.load()
  },

  // Takes back a choice that is known not to be free.
  settle() {
    const { start, end } = this.data
    const taken = this.stay(start, end).find(({ night }) => night && !isFree(night))
    if (!taken) return this.show()
    const why = taken.night.price_fen === null ? app.t.unsoldDay : app.t.fullDay
    const refused = filled(why, { day: dayWords(taken.date, app.t) })
    this.show({ start: taken.date === start ? "" : start, end: "", refused })
  },

  // --- what is shown

  // What is chosen, and what it costs: the sum that the order must have, or it is not placed.
  show(changes) {
    const next = { ...this.data, ...changes }
    const { home, month, start, end, people, need_food } = next
    const nights = end ? this.stay(start, end).map(({ night }) => night) : []
    const known = nights.length > 0 && nights.every((night) => night && isFree(night))
    const pieces = {} // how many nights at which price
    let room = 0
    for (const { price_fen } of known ? nights : []) {
      room += price_fen
      pieces[yuan(price_fen)] = (pieces[yuan(price_fen)] || 0) + 1
    }
    const meals = need_food && known ? home.food_price_fen * people * nights.length : 0
    const today = day(Date.now())
    this.setData({
      ...changes,
      cells: this.cells(next),
      monthText: filled(app.t.monthForm, { year: month.slice(0, 4), month: app.t.months[month.slice(5) - 1] }),
      hasEarlier: month > monthOf(today),
      hasLater: month < monthOf(later(today, MAX_DAYS_AHEAD)),
      startText: start ? weekdayWords(start, app.t) : app.t.chooseDay,
      endText: end ? weekdayWords(end, app.t) : app.t.chooseDay,
      nights: nights.length,
      pieces: Object.keys(pieces)
        .map((price) => `${price} × ${pieces[price]}`)
        .join(" + "),
      room: known ? yuan(room) : "",
      meals: meals ? yuan(meals) : "",
      total: known ? yuan(room + meals) : "",
      total_fen: room + meals,
      fewer: people > 1,
      more: people < home.capacity,
    })
  },
  cells(chosen) {
    const first = `${chosen.month}-01`
    const before = new Date(Date.parse(first)).getUTCDay()
    const dates = Array.from({ length: CELLS }, (_, n) => later(first, n - before))
    return dates.map((date) => (monthOf(date) === chosen.month ? this.cell(date, chosen) : { key: date }))
  },
  cell(date, { start, end }) {
    const { t } = app
    const today = day(Date.now())
    const dayText = String(Number(date.slice(8)))
    if (date < today || date > later(today, MAX_DAYS_AHEAD)) return { key: date, day: dayText }
    const night = this.night(date)
    const mark = (date === start && t.from) || (date === end && t.to) || ""
    let price = ""
    if (night && night.price_fen === null) price = t.unsold
    else if (night) price = night.free > 0 ? yuan(night.price_fen) : t.full
    const taken = night && !isFree(night) ? "taken" : ""
    const within = start < date && date < end ? "within" : ""
    return {
      key: date,
      date,
      day: dayText,
      price: mark || price,
      look: mark ? "edge" : within || taken,
      label: [weekdayWords(date, t), price, mark].filter(Boolean).join(" "),
    }
  },

  // --- what is chosen

  choose(changes) {
    this.show({ message: "", refused: "", ...changes })
  },
  // The first day, then the last; a third begins anew. On the day of leaving the night may be another's.
  onDay(event) {
    const { date } = event.currentTarget.dataset
    const { start, end } = this.data
    const ends = start && !end && date > start
    if (ends && nightsOf(start, date) > MAX_NIGHTS) {
      return this.choose({ refused: filled(app.t.tooLong, { nights: MAX_NIGHTS }) })
    }
    this.choose(ends ? { end: date } : { start: date, end: "" })
    this.settle()
    return this.load()
  },
  onEarlier() {
    if (this.data.hasEarlier) return this.turn(-1)
  },
  onLater() {
    if (this.data.hasLater) return this.turn(31)
  },
  turn(days) {
    this.show({ month: monthOf(later(`${this.data.month}-01`, days)) })
    return this.load()
  },
  onFewer() {
    if (this.data.fewer) this.choose({ people: this.data.people - 1 })
  },
  onMore() {
    if (this.data.more) this.choose({ people: this.data.people + 1 })
  },
  onFood(event) {
    this.choose({ need_food: event.detail.value })
  },
  onRemark(event) {
    this.setData({ remark: event.detail.value })
  },

  async onBuy() {
    const { home, start, end, people, need_food, remark, step, total, total_fen } = this.data
    if (step || !total) return
    const error = await buy(this, {
      service_type: "homestay",
      homestay_id: home.homestay_id,
      start_date: start,
      end_date: end,
      people,
      need_food,
      remark,
      expected_total_fen: total_fen,
    })
    if (!error || !["soldout", "price"].includes(error.kind)) return
    const free = Object((error.problem || {}).free)
    const full = Object.keys(free).filter((date) => free[date] < 1)
    if (full.length) {
      const days = full.sort().map((date) => dayWords(date, app.t))
      this.setData({ message: `${this.data.message} (${filled(app.t.fullDays, { days: days.join(app.t.comma) })})` })
    }
    this.outdated = this.asked
    this.months = {}
    return this.load()
  },
})
