// What the pages show of what was bought, by service_type: its `title`, `when` it is for, how long (`length`, may be left
// out), `sums` and `facts`, each a list of { name, text }, and the tab on which more of it is sold. Of a product that is
// not here they show the order's number.
const { sessionWords, yuan } = require("./format.js")

const HOMES = "/pages/homes/homes"

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
    tab: HOMES,
  }
}

function course(bought, t) {
  const facts = [
    { name: t.place, text: bought.place },
    { name: t.seats, text: String(bought.seats) },
  ]
  if (bought.remark) facts.push({ name: t.remark, text: bought.remark })
  return {
    title: bought.title,
    when: sessionWords(bought.session, t),
    length: `${bought.minutes} ${t.minutes}`,
    sums: [
      { name: `${t.fee} ${yuan(bought.price_fen)} × ${bought.seats}`, text: yuan(bought.price_fen * bought.seats) },
    ],
    facts,
    tab: "/pages/courses/courses",
  }
}

const PRODUCTS = { homestay, course }

function purchase(told, t) {
  const show = PRODUCTS[told.service_type]
  return show ? show(told.purchase, t) : { title: told.order_sn, when: "", sums: [], facts: [], tab: HOMES }
}

module.exports = { purchase }
