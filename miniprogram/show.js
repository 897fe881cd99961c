// How the pages show sums, days, codes and orders.
const { generate, mode } = require('./vendor/lean-qr.js')

const DAY_MS = 24 * 3600 * 1000

const two = (number) => String(number).padStart(2, '0')

// ¥896.00 of 89600 fen.
const yuan = (fen) => `¥${Math.floor(fen / 100)}.${two(fen % 100)}`

// 2026-12-01: a day in Beijing, so many days from now.
const day = (from, days = 0) => new Date(from + 8 * 3600 * 1000 + days * DAY_MS).toISOString().slice(0, 10)

const nightsOf = (start, end) => Math.round((Date.parse(end) - Date.parse(start)) / DAY_MS)

// HH:mm in Beijing of an instant.
const clock = (iso) => new Date(Date.parse(iso) + 8 * 3600 * 1000).toISOString().slice(11, 16)

// ABCD EFG HJK: easier to read out.
const spaced = (code) => code && `${code.slice(0, 4)} ${code.slice(4, 7)} ${code.slice(7)}`

// The code as a picture, an address for <image>.
function qr(text) {
  const code = generate(mode.alphaNumeric(text)) // its automatic mode needs TextEncoder, which phones lack
  const quiet = 4
  let path = ''
  for (let y = 0; y < code.size; y++) {
    for (let x = 0; x < code.size; x++) if (code.get(x, y)) path += `M${x + quiet} ${y + quiet}h1v1h-1z`
  }
  const size = code.size + 2 * quiet
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h${size}v${size}H0z"/><path d="${path}"/></svg>`
  return `data:image/svg+xml,${encodeURIComponent(svg)}`
}

// An order as pages show it.
function order(told, t) {
  const { stay } = told
  return {
    order_sn: told.order_sn,
    homestay_id: stay.homestay_id,
    title: stay.title,
    start: stay.start_date,
    end: stay.end_date,
    nights: stay.nights,
    people: stay.people,
    remark: stay.remark,
    room: yuan(stay.homestay_total_fen),
    meals: stay.food_total_fen ? yuan(stay.food_total_fen) : '',
    total: yuan(told.total_fen),
    closing: told.closing,
    open: told.status === 'WAIT_PAY' && !told.closing,
    status: told.status,
    word: t.status[told.closing ? 'closing' : told.status],
    before: clock(told.expires_at),
    code: told.status === 'WAIT_USE' ? spaced(told.redeem_code) : '',
    qr: told.status === 'WAIT_USE' ? qr(told.redeem_code) : '',
    refunded: told.refunded_fen ? yuan(told.refunded_fen) : '',
    refunding: told.refunding_fen ? yuan(told.refunding_fen) : '',
  }
}

module.exports = { yuan, day, nightsOf, spaced, qr, order }
