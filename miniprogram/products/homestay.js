// Nights in a homestay.
const yuan = require("../yuan.js")

function purchase(stay, t) {
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

module.exports = { purchase }
