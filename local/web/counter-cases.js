// Cases at the counter: money, or a message of WeChat's, that a person has to look at.

import { Problem, api, attempt, dialog, fenOf, labelled, note, wrong } from "./counter-ask.js"
import { T, dayText, holdsText, nightsFrom, time } from "./counter-words.js"
import { h, yuan } from "./dom.js"

const NO_MONEY = ["stock", "bill_open"] // the kinds of cases that are about no sum
const MAX_REASON = 24
const MAX_DECLINATION = 40

// The open cases, and what reads them anew. `changed` is called when one is closed, `openOrder` with the number of an
// order that is to be seen.
export function caseList(changed, openOrder) {
  const list = h("div", {})
  const onMore = attempt(async () => add(await api("GET", `cases?after=${after}`)))
  const more = h("button", { textContent: T.more, hidden: true, onclick: onMore })
  let after
  const add = ({ cases, next }) => {
    list.append(...cases.map((one) => caseCard(one, changed, openOrder)))
    after = next
    more.hidden = !next
  }
  // The first of them, and where the next one begins.
  const fill = (page) => {
    const none = h("p", { className: "soft", textContent: T.none })
    list.replaceChildren(...(page.cases.length || page.next ? [] : [none]))
    add(page)
  }
  const heading = h("h2", { textContent: T.cases })
  return { section: h("section", { className: "cases", aria: { label: T.cases } }, heading, list, more), fill }
}

// One case. `openOrder` where its order is not shown beside it.
export function caseCard(one, changed, openOrder) {
  const again = attempt(async () => {
    await api("POST", `cases/${one.case}/refund`, {})
    note(T.asked, "good")
    await changed()
  })
  const kind = T.kinds[one.kind] ?? one.kind
  const where = [one.out_trade_no, one.transaction_id, `${T.opened} ${time(one.opened_at)}`].filter(Boolean).join(" · ")
  const sum = one.kind === "refund_request" ? `${T.byRule} ${yuan(one.amount_fen)}` : yuan(one.amount_fen)
  const button = (textContent, onclick, className = "") => h("button", { textContent, onclick, className })
  const number = openOrder && one.out_trade_no.match(/^([A-Z]{3}\d{22})_\d+$/)?.[1]
  const actions =
    one.kind === "refund_request"
      ? [
          button(T.grant, () => grantDialog(one, changed), "primary"),
          button(T.decline, () => declineDialog(one, changed)),
        ]
      : [
          button(T.close, () => closeDialog(one, changed)),
          /^refund_(closed|refused)$/.test(one.kind) && button(T.refundAgain, again),
        ]
  return h(
    "article",
    { className: "card case", aria: { label: kind } },
    h(
      "div",
      { className: "head" },
      h("strong", { textContent: kind }),
      !NO_MONEY.includes(one.kind) && h("strong", { textContent: sum }),
    ),
    ...detail(one),
    h("p", { className: "soft", textContent: where }),
    h("div", { className: "line" }, ...actions, number && button(T.openOrder, () => openOrder(number))),
  )
}

// What a case says beyond its kind, in paragraphs.
function detail(one) {
  const line = (textContent) => h("p", { textContent })
  if (one.kind === "refunded_elsewhere") return []
  if (one.kind === "stock") {
    const held = one.detail.match(/^the order held (.*); the stock did not know/)
    return [line(held ? `${T.orderHeld}${T.colon}${heldTexts(held[1])}` : one.detail), line(T.stockToDo)]
  }
  const bill = one.detail.match(/^bill of (\S+): (.*) at WeChat, (.*) in our books$/)
  if (bill) return [line(T.billOf(dayText(bill[1]), billText(bill[2]), billText(bill[3])))]
  if (one.kind === "bill_open") return [line(T.billOpen(dayText(one.out_trade_no.replace("bill-", ""))))]
  const asked = one.kind === "refund_request" && one.detail.match(/^gives up (.*?)(?:; (.*))?$/s)
  if (!asked) return [line(one.detail)]
  const [, up, says] = asked
  const lines = [line(`${T.guestGivesUp}${T.colon}${heldTexts(up)}`)]
  return says ? [...lines, line(`${T.guestSays}${T.colon}${says}`)] : lines
}

// What one side of a bill has of it, as a case tells it: `89600 fen`, `nothing`.
const billText = (told) => (told === "nothing" ? T.nothing : yuan(parseInt(told, 10)))

// What an order held, as a case tells it: `2026-12-30+3`, three nights from that day on; `2 of 2026-12-05T19:00`.
const heldTexts = (told) => (told === "nothing" ? T.nothing : told.split(", ").map(heldText).join(T.comma))

function heldText(told) {
  const nights = told.match(/^(\d{4}-\d\d-\d\d)\+(\d+)$/)
  if (nights) return nightsFrom(nights[1], Number(nights[2]))
  const seats = told.match(/^(\d+) of (\S+)$/)
  return seats ? holdsText({ nights: [], session: seats[2], seats: Number(seats[1]) }) : told
}

// A guest gets what the rule gives him, or another sum; the same case is one refund, however often it is asked for.
function grantDialog(one, changed) {
  const amount = h("input", { inputMode: "decimal", autocomplete: "off" })
  amount.value = one.amount_fen ? yuan(one.amount_fen).slice(1) : ""
  const reason = h("input", { maxLength: MAX_REASON, autocomplete: "off" })
  const fields = [
    h("p", { textContent: `${T.byRule} ${yuan(one.amount_fen)}` }),
    labelled(T.amount, amount),
    labelled(T.about(T.reason, T.reasons), reason),
    h("p", { className: "soft", textContent: T.granting }),
  ]
  const send = async () => {
    const fen = fenOf(amount.value)
    if (!fen) throw wrong(T.amountWrong)
    const why = reason.value.trim()
    try {
      await api("POST", `cases/${one.case}/grant`, { amount_fen: fen, ...(why && { reason: why }) })
    } catch (error) {
      if (!error.known) error.text = `${error.text}${T.period}${T.unknown}`
      throw error
    }
    note(`${T.granted} ${yuan(fen)}`, "good")
    await changed()
  }
  dialog(T.grant, fields, T.grant, send)
}

function declineDialog(one, changed) {
  const reason = h("input", { maxLength: MAX_DECLINATION, autocomplete: "off" })
  const send = async () => {
    if ([...reason.value.trim()].length < 2) throw wrong(T.declineWrong)
    await api("POST", `cases/${one.case}/decline`, { reason: reason.value.trim() })
    note(T.declined, "good")
    await changed()
  }
  const fields = [
    labelled(T.about(T.reason, T.reasons), reason),
    h("p", { className: "soft", textContent: T.declining }),
  ]
  dialog(T.decline, fields, T.decline, send)
}

// Closing cannot be undone: the first press says what will be written, the second writes it.
function closeDialog(one, changed) {
  const fits = Object.entries(T.resolutions).filter(([value]) => !NO_MONEY.includes(one.kind) || value === "kept")
  const options = fits.map(([value, textContent]) => h("option", { value, textContent }))
  const resolution = h("select", {}, options)
  const reference = h("input", { maxLength: 128, required: true, autocomplete: "off" })
  const hint = h("p", { className: "soft" })
  const sure = h("p", { className: "said", role: "status" })
  let asked = ""
  const edited = () => {
    asked = sure.textContent = ""
    hint.textContent = T.references[resolution.value]
  }
  resolution.onchange = reference.oninput = edited
  edited()
  const send = async () => {
    const body = { resolution: resolution.value, reference: reference.value.trim() }
    if (asked !== JSON.stringify(body)) {
      asked = JSON.stringify(body)
      const what = NO_MONEY.includes(one.kind) ? T.kinds[one.kind] : yuan(one.amount_fen)
      sure.textContent = T.sure(what, T.about(T.resolutions[body.resolution], body.reference))
      throw Object.assign(new Problem("check", {}, 409), { text: T.check })
    }
    try {
      await api("POST", `cases/${one.case}/close`, body)
    } catch (error) {
      if (error.kind === "invalid") error.text = `${T.problems.reference}${T.colon}${error.problem.detail}`
      throw error
    }
    note(T.closed, "good")
    await changed()
  }
  const fields = [labelled(T.resolution, resolution), labelled(T.reference, reference), hint, sure]
  dialog(T.close, fields, T.close, send)
}
