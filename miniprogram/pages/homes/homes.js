const { filled, yuan } = require("../../format.js")
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
  async load() {
    this.setData({ message: "" })
    try {
      const { offers } = await app.pay.offers("homestay")
      const homes = offers.map((home) => ({
        ...home,
        price: filled(app.t.fromPrice, { price: yuan(home.from_fen) }),
        market: home.market_price_fen > home.from_fen ? yuan(home.market_price_fen) : "",
      }))
      this.setData({ homes })
    } catch (error) {
      this.setData({ message: error.text })
    }
  },
  onBook(event) {
    wx.navigateTo({ url: `/pages/book/book?homestay_id=${event.currentTarget.dataset.id}` })
  },
})
