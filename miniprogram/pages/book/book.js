const { yuan, day, nightsOf } = require("../../format.js")
const app = getApp()

Page({
  data: { t: app.t, home: null, people: 2, need_food: false, remark: "", step: "", message: "" },
  async onLoad({ homestay_id }) {
    wx.setNavigationBarTitle({ title: app.t.title.book })
    const today = day(Date.now())
    this.setData({ today, start: day(Date.now(), 1), end: day(Date.now(), 2), last: day(Date.now(), 365) })
    try {
      const home = (await app.pay.offers("homestay")).offers.find((one) => one.homestay_id === homestay_id)
      if (!home) return this.setData({ message: app.t.noHome })
      this.show({
        home,
        people: Math.min(2, home.capacity),
        food: yuan(home.food_price_fen),
        price: yuan(home.price_fen),
      })
    } catch (error) {
      this.setData({ message: error.text || app.t.broken })
    }
  },

  // What is chosen, and what it costs: a preview, the server prices the order.
  show(changes) {
    const { home, start, end, people, need_food } = { ...this.data, ...changes }
    const nights = nightsOf(start, end)
    const room = home.price_fen * nights
    const meals = need_food ? home.food_price_fen * people * nights : 0
    this.setData({
      ...changes,
      nights,
      room: yuan(room),
      meals: meals ? yuan(meals) : "",
      total: yuan(room + meals),
      fewer: people > 1,
      more: people < home.capacity,
      message: "",
    })
  },
  onStart(event) {
    const start = event.detail.value
    const end = this.data.end > start ? this.data.end : day(Date.parse(start), 1)
    this.show({ start, end, earliest: day(Date.parse(start), 1) })
  },
  onEnd(event) {
    this.show({ end: event.detail.value > this.data.start ? event.detail.value : day(Date.parse(this.data.start), 1) })
  },
  onFewer() {
    if (this.data.fewer) this.show({ people: this.data.people - 1 })
  },
  onMore() {
    if (this.data.more) this.show({ people: this.data.people + 1 })
  },
  onFood(event) {
    this.show({ need_food: event.detail.value })
  },
  onRemark(event) {
    this.setData({ remark: event.detail.value })
  },

  onUnload() {
    this.gone = true
  },

  // pay.buy is called in the tap: messages may only be asked for there.
  async onBuy() {
    const { home, start, end, people, need_food, remark } = this.data
    const { homestay_id } = home
    const stay = { homestay_id, start_date: start, end_date: end, people, need_food, remark }
    let order_sn
    const onStep = (step, told) => {
      if (step === "order") order_sn = told.order_sn
      this.setData({ step: app.t.steps[step] || "" })
    }
    this.setData({ step: app.t.steps.order, message: "" })
    try {
      await app.pay.buy({ service_type: "homestay", ...stay }, onStep)
    } catch (error) {
      this.setData({ message: error.text })
    } finally {
      // The result page says how it ended. Who has gone back meanwhile finds the order among his orders.
      if (order_sn && !this.gone) wx.redirectTo({ url: `/pages/result/result?order_sn=${order_sn}` })
      this.setData({ step: "" })
    }
  },
})
