const { filled, yuan } = require("./format.js")

// Orders and pays what a page has chosen; called in the tap, as messages may only be asked for there. Gives the failure,
// which the page shows as its message, or null.
module.exports = async function buy(page, asked) {
  const { pay, t } = getApp()
  let order_sn
  const onStep = (step, told) => {
    if (step === "order") order_sn = told.order_sn
    page.setData({ step: t.steps[step] || "" })
  }
  page.setData({ step: t.steps.order, message: "" })
  try {
    await pay.buy(asked, onStep)
    return null
  } catch (error) {
    const { expected_total_fen: before, total_fen: now } = error.problem || {}
    const sums = error.kind === "price" && now > 0 && before > 0
    const prices = sums ? ` (${filled(t.prices, { before: yuan(before), now: yuan(now) })})` : ""
    page.setData({ message: error.text + prices })
    return error
  } finally {
    // The result page says how it ended. Who has gone back meanwhile finds the order among his orders.
    if (order_sn && !page.gone) wx.redirectTo({ url: `/pages/result/result?order_sn=${order_sn}` })
    page.setData({ step: "" })
  }
}
