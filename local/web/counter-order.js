// An order at the counter: what is known of it, and what can be done with it: redeem, refund, try a refund again or take
// it back.

import { caseCard } from "./counter-cases.js"
import { api, attempt, dialog, fenOf, labelled, note, wrong } from "./counter-ask.js"
import { T, beginText, begun, holdsText, nightsFrom, time } from "./counter-words.js"
import { h, yuan } from "./dom.js"
import { purchaseLines } from "./products.js"

const MAX_REASON = 24
const FIRST_MS = 1000 // between two looks at a refund that is on its way
const LONGEST_MS = 15000

const row = (name, ...value) => h("div", { className: "row" }, h("dt", { textContent: name }), h("dd", {}, ...value))

function paymentText({ status, out_trade_no, success_time }) {
  return `${T.payment[status] ?? status} · ${out_trade_no} · ${time(success_time)}`
}

// The total, and what of it went back, in which way.
function sumsText({ total_fen, refunded_fen, by_hand_fen, stuck_fen }) {
  const ways = [
    [T.back_fen, refunded_fen],
    [T.byHand, by_hand_fen],
    [T.stuck, stuck_fen],
  ]
  const back = ways.filter(([, fen]) => fen).map(([way, fen]) => `${way} ${yuan(fen)}`)
  return [yuan(total_fen), ...back].join(" · ")
}

// Its status in a word. One that was given up is over for its guest, whatever its status.
function statusWord({ service_type, status, on_hold, given_up }) {
  const word = T.statusOf[service_type]?.[status] ?? T.status[status]
  if (on_hold) return T.onHold
  if (!given_up || status === "REFUNDED") return word
  return status === "USED" ? `${word} · ${T.givenUp}` : T.givenUp
}

// What is known of an order, line by line.
function orderFacts(order, reload) {
  const payments = order.payments.map((one) => h("li", { textContent: paymentText(one) }))
  const refunds = order.refunds.map((one) => refundLine(order, one, reload))
  const holds = holdsText(order.holds)
  return h(
    "dl",
    {},
    ...purchaseLines(order).map(([name, text]) => row(name, text)),
    holds && row(T.holds, holds),
    row(T.total, sumsText(order)),
    order.used_at && row(T.usedBy, `${order.used_by} · ${time(order.used_at)}`),
    row(T.payments, h("ul", {}, payments)),
    refunds.length > 0 && row(T.refunds, h("ul", {}, refunds)),
  )
}

// An order, and what can be done with it. `typed` is what it was looked up by: only the guest's code redeems it.
// `redeemed` is called when it is, `changed` when a case of it is closed. The card, and what looks at the order again.
export function orderCard(order, typed, { redeemed, changed }) {
  const card = h("article", { className: "card", tabIndex: -1, aria: { label: order.order_sn } })
  let timer
  const show = (read) => {
    order = read
    const { service_type, status, on_hold, given_up, refundable_fen } = order
    const look = given_up ? "GIVEN_UP" : status
    const word = h("strong", { className: `status ${look}`, textContent: statusWord(order) })
    const held = h("p", { className: "said bad", textContent: T.held })
    const redeemText = T.redeemOf[service_type] ?? T.redeem
    const redeemButton = h("button", { className: "primary big", textContent: redeemText, onclick: redeem })
    const toRefund = () => refundDialog(order, reload)
    const refundButton = h("button", { className: "danger", textContent: T.refund, onclick: toRefund })
    const refundable = refundable_fen > 0 && !on_hold
    const redeemable = refundable && status === "WAIT_USE" && !given_up
    const unresolved = order.cases.filter((one) => !one.resolution)
    card.replaceChildren(
      h("div", { className: "head" }, h("h2", { textContent: order.purchase.title ?? order.order_sn }), word),
      ...(on_hold ? [held] : []),
      orderFacts(order, reload),
      h("div", { className: "line" }, redeemable && redeemButton, refundable && refundButton),
      h("p", { className: "soft", textContent: order.order_sn }),
      ...unresolved.map((one) => caseCard(one, changed)),
    )
    // What is on its way comes by itself: looked at again, less and less often while nothing of it changes.
    clearTimeout(timer)
    const moving = order.refunds.filter((one) => ["REQUESTED", "PROCESSING"].includes(one.status))
    const now = moving.map((one) => [one.out_refund_no, one.status, one.withdrawing_at].join()).join("\n")
    wait = now === before ? Math.min(wait * 1.5, LONGEST_MS) : FIRST_MS
    before = now
    if (moving.length) timer = setTimeout(again, wait)
  }
  let before = ""
  let wait = FIRST_MS
  const again = () => {
    if (!card.isConnected) return
    if (document.hidden) timer = setTimeout(again, wait)
    else attempt(reload)()
  }
  const reload = async () => show(await api("GET", `orders/${order.order_sn}`))
  const redeem = attempt(async ({ target }) => {
    if (typed.trim() === order.order_sn) return note(T.needCode, "bad")
    target.disabled = true
    try {
      const { used_at } = await api("POST", "redemptions", { code: typed, order_sn: order.order_sn })
      note(`✓ ${T.redeemed} ${time(used_at)}`, "good")
      redeemed()
    } finally {
      target.disabled = false
      await reload()
    }
  })
  show(order)
  return { card, reload }
}

// One refund: what it is, and what can be done while it is on its way.
function refundLine(order, one, reload) {
  const withdrawing = Boolean(one.withdrawing_at)
  const state = T.refundStatus[one.status === "REQUESTED" && withdrawing ? "withdrawing" : one.status] ?? one.status
  const path = `orders/${order.order_sn}/refunds/${encodeURIComponent(one.out_refund_no)}`
  const act = (what, told) => async () => {
    await api("POST", `${path}/${what}`)
    note(told, "good")
    await reload()
  }
  const sure = () => h("p", { textContent: T.withdrawSure })
  const toWithdraw = () => dialog(T.withdraw, [sure()], T.withdraw, act("withdraw", T.withdrawing))
  const retriable = ["REQUESTED", "PROCESSING", "ABNORMAL"].includes(one.status) && !withdrawing
  const withdrawable = one.status === "REQUESTED" && !withdrawing && one.origin === "merchant"
  return h(
    "li",
    {},
    `${yuan(one.amount_fen)} · ${state} · ${one.reason}`,
    retriable && h("button", { textContent: T.tryNow, onclick: attempt(act("try", T.trying)) }),
    withdrawable && h("button", { textContent: T.withdraw, onclick: toWithdraw }),
  )
}

// What the guest may give up with a refund: fields for it, and what is chosen of them as the request has it; null:
// nothing. `changed` is called with whether nothing would be left.
function givingUp({ holds }, changed) {
  const nights = holds.nights.filter((night) => !begun(night))
  const most = holds.session && !begun(holds.session) ? holds.seats : 0
  const boxes = nights.map((value) => h("input", { type: "checkbox", value, onchange: () => changed(all()) }))
  const seats = h("input", { type: "number", min: 0, max: most, value: 0, oninput: () => changed(all()) })
  const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value)
  const all = () => chosen().length === nights.length && Number(seats.value) === most
  const legend = h("legend", { textContent: T.givesUp })
  const ticks = boxes.map((box) => h("label", {}, box, ` ${nightsFrom(box.value, 1)}`))
  const text = (body) => holdsText({ nights: [], seats: 0, session: holds.session, ...body })
  const read = () => {
    const number = Number(seats.value)
    if (!Number.isInteger(number) || number < 0 || number > most) throw wrong(T.seatsWrong(most))
    const body = nights.length ? { nights: chosen() } : { seats: number }
    return text(body) ? { body, text: text(body) } : null
  }
  if (!nights.length && !most) return { fields: [], read: () => null }
  const field = most
    ? labelled(`${T.givesUpSeats(most)} · ${beginText(holds.session)}`, seats)
    : h("fieldset", { className: "ticks" }, legend, ...ticks)
  return { fields: [field], read }
}

function refundDialog(order, reload) {
  const left = order.refundable_fen
  const chosen = () => {
    amount.disabled = whole.checked
    if (some.checked) amount.focus()
  }
  const whole = h("input", { type: "radio", name: "how", checked: true, onchange: chosen })
  const some = h("input", { type: "radio", name: "how", onchange: chosen })
  const amount = h("input", { inputMode: "decimal", disabled: true, autocomplete: "off" })
  const reason = h("input", { maxLength: MAX_REASON, autocomplete: "off" })
  const ends = h("p", { className: "soft", aria: { live: "polite" } })
  const up = givingUp(order, (all) => (ends.textContent = all ? T.endsAll : ""))
  const fields = [
    h("p", { textContent: `${T.left} ${yuan(left)}` }),
    h("label", {}, whole, ` ${T.full} ${yuan(left)}`),
    h("label", {}, some, ` ${T.part}`),
    labelled(T.amount, amount),
    labelled(T.about(T.reason, T.reasons), reason),
    ...up.fields,
    ...(up.fields.length ? [h("p", { className: "soft", textContent: T.freed }), ends] : []),
  ]
  let key = crypto.randomUUID() // the same for every repeat, so that none of them refunds twice
  const send = async () => {
    const fen = whole.checked ? left : fenOf(amount.value)
    if (!fen) throw wrong(T.amountWrong)
    if (fen > left) throw wrong(`${T.amountMore} ${yuan(left)}`)
    if (!reason.value.trim()) throw wrong(T.reasonWrong)
    const given = up.read()
    const body = { amount_fen: fen, reason: reason.value.trim(), ...(given && { gives_up: given.body }) }
    try {
      await api("POST", `orders/${order.order_sn}/refunds`, body, { "Idempotency-Key": key })
    } catch (error) {
      if (!error.known) error.text = `${error.text}${T.period}${T.unknown}`
      else key = crypto.randomUUID() // it was refused: what comes next is another refund
      throw error
    }
    note([`${T.asked} ${yuan(fen)}`, given && T.alsoGivenUp(given.text)].filter(Boolean).join(T.comma), "good")
    await reload()
  }
  dialog(T.refund, fields, T.send, send)
}
