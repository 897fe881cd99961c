// How the pages show orders and codes.
const { clock, filled, instantWords, yuan } = require("./format.js")
const { purchase } = require("./products.js")
const { generate, mode } = require("./vendor/lean-qr.js")

const HOLD_MS = 30000 // between two looks while the shop checks a refund

// ABCD EFG HJK: easier to read out.
const spaced = (code) => code && `${code.slice(0, 4)} ${code.slice(4, 7)} ${code.slice(7)}`

// The code as a picture, an address for <image>.
function qr(text) {
  const code = generate(mode.alphaNumeric(text)) // its automatic mode needs TextEncoder, which phones lack
  const quiet = 4
  let path = ""
  for (let y = 0; y < code.size; y++) {
    for (let x = 0; x < code.size; x++) if (code.get(x, y)) path += `M${x + quiet} ${y + quiet}h1v1h-1z`
  }
  const size = code.size + 2 * quiet
  const open = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges">`
  const svg = `${open}<path fill="#fff" d="M0 0h${size}v${size}H0z"/><path d="${path}"/></svg>`
  return `data:image/svg+xml,${encodeURIComponent(svg)}`
}

// What became of the guest's wish to have the money back, in one sentence.
function wish({ status, given_up, refund_request, refunding_fen, refunded_fen }, t) {
  const { state, refund_fen, reason } = refund_request || {}
  const said = t.wish
  // Of an order that is refunded wholly its status and its sums say the rest.
  if (status === "REFUNDED") return state === "granted" ? said.granted : ""
  if (given_up === true || state === "granted") {
    const money = (refunding_fen && said.refunding) || (refunded_fen && said.refunded) || ""
    return (
      (state === "granted" ? said.granted : said.given) + filled(money, { sum: yuan(refunding_fen || refunded_fen) })
    )
  }
  if (state === "asked") {
    const asked = refund_fen ? filled(said.asked, { sum: yuan(refund_fen) }) : said.askedAnyway
    return asked + (status === "WAIT_USE" ? said.valid : "")
  }
  if (state === "declined") return reason ? filled(said.declined, { reason }) : said.declinedPlainly
  return ""
}

// The same, of an answer to a request that has just been done.
const done = ({ state, refund_fen }, t) =>
  wish(
    state === "refunding"
      ? { given_up: true, refunding_fen: refund_fen }
      : { status: "WAIT_USE", refund_request: { state, refund_fen } },
    t,
  )

// An order as pages show it. The code is shown while it can be used: not while the shop checks a refund, and not when
// everything was given up or is on its way back.
function order(told, t) {
  const hold = told.on_hold === true && told.status !== "REFUNDED"
  const refunding = told.refunding_fen || 0
  const refunded = told.refunded_fen || 0
  const byHand = told.by_hand_fen || 0 // given back outside of WeChat
  const stuck = told.stuck_fen || 0 // what WeChat could not give back
  const back = refunding + refunded + byHand + stuck
  const given = told.given_up === true && ["WAIT_USE", "EXPIRED"].includes(told.status) && !hold
  const valid = told.status === "WAIT_USE" && !hold && !given && back < told.total_fen
  const usable = valid && Boolean(told.redeem_code)
  const asked = (told.refund_request || {}).state === "asked"
  const { free_until } = told.purchase || {}
  const free = free_until && !given && !hold && ["WAIT_PAY", "WAIT_USE"].includes(told.status)
  const words = t.product[told.service_type] || t.product.other
  const word =
    told.status === "WAIT_USE" && !hold && !given && back >= told.total_fen
      ? (refunding && t.refunding) || (stuck && t.stuck) || (byHand && t.byHand) || t.refunded
      : { ...t.status, ...words }[(hold && "hold") || (given && "given") || (told.closing ? "closing" : told.status)] ||
        t.status.other
  return {
    order_sn: told.order_sn,
    ...purchase(told, t),
    total: yuan(told.total_fen),
    closing: told.closing === true && !hold,
    open: told.status === "WAIT_PAY" && !told.closing && !hold,
    hold,
    moving: ["WAIT_PAY", "WAIT_USE"].includes(told.status) || refunding > 0 || asked, // it may change at any time
    status: told.status,
    look: given ? "given" : told.status,
    word,
    before: clock(told.expires_at),
    free: free ? filled(t.freeUntil, { until: instantWords(free_until, t) }) : "",
    // A server that does not know of giving up does not say whether it was.
    refundable: valid && told.given_up === false && !asked && !refunding,
    refund: Date.parse(free_until) > Date.now() ? t.giveUp : t.askRefund,
    wish: hold ? "" : wish(told, t),
    codeName: words.code,
    code: usable ? spaced(told.redeem_code) : "",
    qr: usable ? qr(told.redeem_code) : "",
    refunded: refunded ? yuan(refunded) : "",
    refunding: refunding ? yuan(refunding) : "",
    byHand: byHand ? yuan(byHand) : "",
    stuck: stuck ? yuan(stuck) : "",
  }
}

// When a page that shows an order, as order() gives it, looks again; null: it is over. `pace` as in follow.js, `told` is
// the server's pause.
function next({ hold, moving }, pace, told) {
  if (hold) return told || HOLD_MS
  return moving ? pace : null
}

module.exports = { next, spaced, qr, order, done }
