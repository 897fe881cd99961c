const { filled, yuan } = require("../../format.js")
const showOffers = require("../../offers.js")
const app = getApp()

Page({
  data: { t: app.t, homes: null, message: "" },
  onLoad() {
    wx.setNavigationBarTitle({ title: app.t.title.homes })
    return this.load()
  },
  onPullDownRefresh() {
    return this.load().then(() => wx.stopPullDownRefresh())
  },
  load() {
    return showOffers(this, "homestay", "homes", (home) => ({
      ...home,
      price: filled(app.t.fromPrice, { price: yuan(home.from_fen) }),
      market: home.market_price_fen > home.from_fen ? yuan(home.market_price_fen) : "",
    }))
  },
  onBook(event) {
    wx.navigateTo({ url: `/pages/book/book?homestay_id=${event.currentTarget.dataset.id}` })
  },
})
