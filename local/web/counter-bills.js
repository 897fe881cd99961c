// Bills: what each business is owed, day by day, and for the owner how each day stands against WeChat's bill, with what
// differs and what to do about it.

import { Problem, api, attempt, download, labelled, said, wrong } from "./counter-ask.js"
import { T } from "./counter-bills-words.js"
import { caseCard } from "./counter-cases.js"
import { T as WORDS, dayAfter, dayText, monthAfter, monthText, shortDay, today } from "./counter-words.js"
import { h, yuan } from "./dom.js"

const MOST_DAYS = 31

// `openOrder` with the number of an order. The parts of the page, and what reads them anew.
export function bills(openOrder) {
  const days = daysOf(openOrder)
  const statements = statementsOf()
  const show = async () => {
    await Promise.all([days.load(), statements.load()])
  }
  return { parts: [said, days.section, statements.section], show }
}

const button = (textContent, onclick, label) =>
  h("button", { type: "button", textContent, onclick, aria: label ? { label } : {} })

const whyText = (why) => T.whyDays[why] ?? why

// --- the days, which are the owner's

function daysOf(openOrder) {
  const heading = h("h3", { aria: { live: "polite" } })
  const list = h("div", { className: "bill-days" })
  const section = h("section", { className: "card", hidden: true, aria: { label: T.days } })
  let month = dayAfter(today(), -1).slice(0, 7)
  let turn = 0 // of several that are under way the last one is shown

  const load = async () => {
    turn += 1
    const mine = turn
    heading.textContent = monthText(month)
    const last = dayAfter(`${monthAfter(month, 1)}-01`, -1)
    const to = last < today() ? last : today()
    if (month > to.slice(0, 7)) return list.replaceChildren(h("p", { className: "soft", textContent: T.noDays }))
    let read
    try {
      read = await api("GET", `days?${new URLSearchParams({ from: `${month}-01`, to })}`)
    } catch (error) {
      if (!(error instanceof Problem) || error.kind !== "owner-only") throw error
      return (section.hidden = true)
    }
    if (mine !== turn) return
    section.hidden = false
    list.replaceChildren(...dayList(read.days, openOrder))
  }
  const toMonth = (to) =>
    attempt(() => {
      month = to()
      return load()
    })
  const before = toMonth(() => monthAfter(month, -1))
  const after = toMonth(() => monthAfter(month, 1))
  const now = toMonth(() => today().slice(0, 7))
  const line = h(
    "div",
    { className: "line" },
    button("‹", before, WORDS.monthBefore),
    heading,
    button("›", after, WORDS.monthAfter),
    button(WORDS.thisMonth, now),
  )
  section.append(h("div", { className: "head" }, h("h2", { textContent: T.days }), line), list)
  return { section, load }
}

// The days that can be told one by one; those before the first comparison in one line.
function dayList(days, openOrder) {
  const told = days.filter(({ why }) => why !== "before_first")
  const earlier = told.length < days.length && h("p", { className: "soft", textContent: T.earlierDays })
  const never = told.every(({ state }) => state === "not_yet") && told.some(({ why }) => why === "not_compared")
  if (never && !earlier) return [h("p", { className: "soft", textContent: T.neverCompared })]
  return [...told.map((day) => dayLine(day, openOrder)), earlier].filter(Boolean)
}

function dayLine(day, openOrder) {
  const { date, state, why, difference_count: differences } = day
  const good = state === "closed" && !differences
  const word = differences ? T.differ(differences) : T.dayStates[why === "not_over" ? "not_yet" : state]
  const look = good ? "good" : differences || (state === "open" && why !== "not_over") ? "bad" : "soft"
  const told = [day.wechat && sidesText(day), why && whyText(why)]
  const inside = h("div", {})
  let loaded = false
  const load = attempt(async () => {
    if (loaded || !box.open) return
    loaded = true
    try {
      inside.replaceChildren(...dayDetails(await api("GET", `days/${date}`), openOrder))
    } catch (error) {
      loaded = false
      box.open = false
      throw error
    }
  })
  const summary = h(
    "summary",
    {},
    h("span", { className: "day", textContent: dayText(date) }),
    h("strong", { className: `state ${look}`, textContent: word }),
    h("span", { className: "soft sums", textContent: told.filter(Boolean).join("\n") }),
  )
  if (!day.wechat) return h("div", { className: "bill-day" }, ...summary.childNodes) // there is no more to say
  const box = h("details", { className: "bill-day", ontoggle: load }, summary, inside)
  box.open = Boolean(differences)
  return box
}

// What was paid and what went back: once where both sides say the same, else a line for each.
function sidesText({ wechat, ours, other_rows }) {
  const text = ({ payments, paid_fen, refunds, refunded_fen }) =>
    [payments && `${T.payment} ${yuan(paid_fen)}`, refunds && `${T.refund} ${yuan(refunded_fen)}`]
      .filter(Boolean)
      .join(" · ")
  const [theirs, own] = [text(wechat), text(ours)]
  if (theirs === own) return theirs || T.emptyDay
  const others = other_rows ? ` · ${T.otherRows(other_rows)}` : ""
  return `${T.atWechat} ${theirs || T.nothingThere}${others}\n${T.inOurs} ${own || T.nothingThere}`
}

function dayDetails(day, openOrder) {
  const { wechat, fees_fen, other_rows, healed } = day
  const line = (textContent) => h("p", { className: "soft", textContent })
  const facts = wechat && [
    T.payments(wechat.payments),
    T.refundsOf(wechat.refunds),
    `${T.feesOf} ${yuan(fees_fen)}`,
    other_rows && T.otherRows(other_rows),
    healed && T.healed(healed),
  ]
  const differences = h("ul", { className: "differences" })
  const more = h("button", { type: "button", textContent: WORDS.more, hidden: true })
  const add = ({ differences: found, next }) => {
    differences.append(...found.map((one) => differenceLine(one, openOrder)))
    more.hidden = !next
    more.onclick = attempt(async () => add(await api("GET", `days/${day.date}?after=${next}`)))
  }
  add(day)
  return [
    facts && line(facts.filter(Boolean).join(" · ")),
    differences,
    more,
    day.lines.length > 0 && statementTable(day.lines),
  ].filter(Boolean)
}

function differenceLine(one, openOrder) {
  const side = (name, fen) => `${name} ${fen === null ? T.nothingThere : yuan(fen)}`
  const place = h("div", {})
  const openCase = attempt(async () => {
    const read = await api("GET", `cases/${one.case}`)
    const closed = () => {
      place.replaceChildren()
      opener.replaceWith(h("span", { className: "soft", textContent: T.caseClosed }))
    }
    place.replaceChildren(caseCard(read, closed, null))
  })
  const opener = button(T.toCase, openCase)
  const about = one.number === one.out_trade_no ? T.payment : T.refund
  return h(
    "li",
    { role: "group", aria: { label: one.number } },
    h("p", {}, h("strong", { textContent: T.kindsOfDifference[one.kind] ?? one.means })),
    h("p", { textContent: `${side(T.atWechat, one.wechat_fen)} · ${side(T.inOurs, one.ours_fen)}` }),
    h("p", { className: "soft", textContent: [about, one.number, one.wechat_no].filter(Boolean).join(" · ") }),
    h("p", { textContent: `${T.toDo}${WORDS.colon}${T.whatToDo[one.kind] ?? one.means}` }),
    h(
      "div",
      { className: "line" },
      one.case_open && opener,
      one.kind !== "unknown_trade" && one.order_sn && button(WORDS.openOrder, () => openOrder(one.order_sn)),
      one.case && !one.case_open && h("span", { className: "soft", textContent: T.caseClosed }),
    ),
    place,
  )
}

// --- statements

function statementsOf() {
  const yesterday = dayAfter(today(), -1)
  const from = h("input", { type: "date", required: true, value: `${yesterday.slice(0, 7)}-01` })
  const to = h("input", { type: "date", required: true, value: yesterday })
  const shown = h("div", { aria: { live: "polite" } })
  let turn = 0

  const range = () => {
    const last = from.value && dayAfter(from.value, MOST_DAYS - 1)
    if (!from.value || !to.value || to.value < from.value || to.value > last) throw wrong(T.rangeWrong)
    return { from: from.value, to: to.value }
  }
  const path = () => `statements?${new URLSearchParams(range())}`
  const load = async () => {
    turn += 1
    const mine = turn
    const read = await api("GET", path())
    if (mine === turn) shown.replaceChildren(...statementParts(read))
  }
  const save = attempt(async () => {
    const { from: first, to: last } = range()
    await download(path(), `${T.csvName}-${first}-${last}.csv`)
  })
  const submit = attempt(load)
  const fields = h("div", { className: "two" }, labelled(T.from, from), labelled(T.to, to))
  const show = h("button", { className: "primary", textContent: T.showThem })
  const line = h("div", { className: "line" }, show, button(T.csv, save))
  const form = h("form", { className: "find", onsubmit: submit }, fields, line)
  const section = h("section", { className: "card", aria: { label: T.statements } })
  section.append(h("h2", { textContent: T.statements }), form, shown)
  return { section, load }
}

function statementParts({ lines, total, missing, due_by }) {
  const soft = (textContent) => h("p", { className: "soft", textContent })
  return [
    lines.length ? statementTable(lines, total) : soft(T.nothingSold),
    lines.length && soft(T.dueBy(dayText(due_by))),
    missing.length && h("p", { textContent: T.notShown }),
    missing.length &&
      h(
        "ul",
        { className: "missing" },
        runs(missing).map(({ first, last, why }) => {
          const days = first === last ? dayText(first) : T.daysFrom(dayText(first), dayText(last))
          return h("li", {}, `${days}${WORDS.colon}${whyText(why)}`)
        }),
      ),
  ].filter(Boolean)
}

// Days in a row of which the same is missing, for the same reason, are told together.
function runs(missing) {
  const found = []
  for (const { date, why } of missing) {
    const last = found.at(-1)
    if (last && last.why === why && dayAfter(last.last) === date) last.last = date
    else found.push({ first: date, last: date, why })
  }
  return found
}

// Lines of days and businesses, and their total if there is one; it scrolls sideways where it is narrow.
function statementTable(lines, total) {
  const several = new Set(lines.map(({ date }) => date)).size > 1 || Boolean(total)
  const names = new Set(lines.map(nameOf))
  const byName = names.size > 1 || !several
  const heads = [several && WORDS.day, byName && T.business].filter(Boolean)
  const row = (line, day, name) => {
    const [head, ...more] = [...(several ? [day] : []), ...(byName ? [name] : [])]
    return h(
      "tr",
      {},
      h("th", { scope: "row", textContent: head }),
      more.map((textContent) => h("td", { textContent })),
      cells(line).map((cell) => h("td", { className: "number" }, cell)),
    )
  }
  const head = (textContent) => h("th", { scope: "col", textContent })
  const numberHead = (textContent) => h("th", { scope: "col", className: "number", textContent })
  const body = lines.map((line) => row(line, shortDay(line.date), nameOf(line)))
  const caption = h("caption", { className: "visually-hidden", textContent: T.statements })
  const table = h(
    "table",
    { className: "statements" },
    caption,
    h("thead", {}, h("tr", {}, heads.map(head), Object.values(T.sums).map(numberHead))),
    h("tbody", {}, body),
    total && h("tfoot", {}, row(total, T.totalOf, "")),
  )
  return h("div", { className: "scroll", tabIndex: 0, role: "region", aria: { label: T.statements } }, table)
}

const nameOf = ({ of, business_id }) => business_id ?? T.linesOfNone[of]

// Each a list of what stands in it: of what was counted the sum, and below it the number.
function cells(line) {
  const counted = ["sold", "used", "refunded"].map((name) =>
    line[name] ? [yuan(line[`${name}_fen`]), h("small", { textContent: T.times(line[name]) })] : "–",
  )
  const later = line.due_later.reduce((sum, { fen }) => sum + fen, 0)
  const discounts = line.discounts_fen ? yuan(line.discounts_fen) : "–"
  return [...counted, discounts, ...[line.fees_fen, line.net_fen, line.due_now_fen, later].map(yuan)]
}
