// Shows the offers of one product on a page: its `data[list]` gets what `shown(offer)` gives of each, and stays as it is
// when they cannot be asked for; then its message says why.
module.exports = async function showOffers(page, service_type, list, shown) {
  const { pay, t } = getApp()
  page.setData({ message: "" })
  try {
    const { offers } = await pay.offers(service_type)
    page.setData({ [list]: offers.map(shown) })
  } catch (error) {
    page.setData({ message: error.text || t.broken })
  }
}
