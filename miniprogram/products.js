// What the pages show of what was bought, by service_type: its `title`, `when` it is for, how long (`length`, may be left
// out), `sums` and `facts`, each a list of { name, text }. Of a product that is not here they show the order's number.
const { yuan } = require("./format.js")

function homestay(stay, t) {
  const sums = [{ name: t.room, text: yuan(stay.homestay_total_fen) }]
  if (stay.food_total_fen) sums.push({ name: t.meals, text: yuan(stay.food_total_fen) })
  const facts = [{ name: t.people, text: String(stay.people) }]
  if (stay.remark) facts.push({ name: t.remark, text: stay.remark })
  return {
    title: stay.title,
    when: `${stay.start_date} – ${stay.end_date}`,
    length: `${stay.nights} ${stay.nights > 1 ? t.nights : t.night}`,
    sums,
    facts,
  }
}

const PRODUCTS = { homestay }

function purchase(told, t) {
  const show = PRODUCTS[told.service_type]
  return show ? show(told.purchase, t) : { title: told.order_sn, when: "", sums: [], facts: [] }
}

module.exports = { purchase }
