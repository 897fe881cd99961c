// What the pages show of what was bought, by service_type: its `title`, `when` it is for, how long (`length`, may be left
// out), `sums` and `facts`, each a list of { name, text }. Of a product that is not here they show the order's number.
const homestay = require("./products/homestay.js")

const PRODUCTS = { homestay }

function purchase(told, t) {
  const product = PRODUCTS[told.service_type]
  return product ? product.purchase(told.purchase, t) : { title: told.order_sn, when: "", sums: [], facts: [] }
}

module.exports = { purchase }
