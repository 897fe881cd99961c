// How the pages show orders and codes.
const { clock, yuan } = require("./format.js")
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

// An order as pages show it. The code is shown while it can be used: not while the shop checks a refund, and not when
// everything is on its way back.
function order(told, t) {
  const hold = told.on_hold === true && told.status !== "REFUNDED"
  const refunding = told.refunding_fen || 0
  const refunded = told.refunded_fen || 0
  const byHand = told.by_hand_fen || 0 // given back outside of WeChat
  const stuck = told.stuck_fen || 0 // what WeChat could not give back
  const back = refunding + refunded + byHand + stuck
  const usable = told.status === "WAIT_USE" && !hold && back < told.total_fen && Boolean(told.redeem_code)
  const words = t.product[told.service_type] || t.product.other
  const word =
    told.status === "WAIT_USE" && !hold && back >= told.total_fen
      ? (refunding && t.refunding) || (stuck && t.stuck) || (byHand && t.byHand) || t.refunded
      : { ...t.status, ...words }[hold ? "hold" : told.closing ? "closing" : told.status] || t.status.other
  return {
    order_sn: told.order_sn,
    ...purchase(told, t),
    total: yuan(told.total_fen),
    closing: told.closing === true && !hold,
    open: told.status === "WAIT_PAY" && !told.closing && !hold,
    hold,
    moving: ["WAIT_PAY", "WAIT_USE"].includes(told.status) || refunding > 0, // it may change at any time
    status: told.status,
    word,
    before: clock(told.expires_at),
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

module.exports = { next, spaced, qr, order }
