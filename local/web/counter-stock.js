// Stock: who holds which night of which room, and how many seats of a session, month by month. Staff block what is not to
// be sold, and say how much there is.

import { api, attempt, dialog, labelled, note, said, wrong } from "./counter-ask.js"
import { T, beginText, dayAfter, dayText, holdsText, monthAfter, monthText, time, today } from "./counter-words.js"
import { h, yuan } from "./dom.js"

const MAX_REASON = 40
const MOST_NIGHTS = 90
const MOST_ROOMS = 50
const MOST_SEATS = 1000

// `openOrder` with an order's number, `openRoster` with the names of a session. The parts of the page, and what reads
// them anew.
export function stock(openOrder, openRoster) {
  const offer = h("select", { required: true })
  const past = h("input", { type: "checkbox" })
  const pastLine = h("label", { hidden: true }, past, ` ${T.past}`)
  const heading = h("h2", { aria: { live: "polite" } })
  const over = h("div", { role: "alert" })
  const shown = h("section", { className: "card", aria: { label: T.views.stock } })
  let offers = []
  let month = today().slice(0, 7)
  let turn = 0 // of several that are under way the last one is shown

  const chosen = () => offers.find((one) => nameOf(one) === offer.value)
  const load = async () => {
    turn += 1
    const mine = turn
    heading.textContent = monthText(month)
    const one = chosen()
    const read = await api("GET", `${pathOf(one)}?month=${month}`)
    if (mine === turn) draw(read)
  }
  const draw = (read) => {
    const page = { read, path: pathOf(read), reload: load, tellOver, openOrder, openRoster }
    pastLine.hidden = read.rooms === null || month !== today().slice(0, 7) || today().endsWith("-01")
    const since = pastLine.hidden || past.checked ? "" : today()
    shown.replaceChildren(...(read.rooms === null ? sessions(page) : nights(page, since)))
  }
  // By night or session how much is held, where that is more than there is.
  const tellOver = (held) => {
    const lines = Object.entries(held).map(([name, n]) => h("li", { textContent: T.heldOf(beginText(name), n) }))
    const told = h("div", { className: "card over-told" }, h("strong", { textContent: T.over }), h("ul", {}, lines))
    over.replaceChildren(...(lines.length ? [told] : []))
  }
  const toMonth = (to) =>
    attempt(() => {
      month = to()
      return load()
    })
  offer.onchange = attempt(async () => {
    tellOver({})
    month = (nextSession(chosen()) ?? today()).slice(0, 7)
    await load()
  })
  past.onchange = attempt(load)

  const show = async () => {
    const before = offer.value
    ;({ offers } = await api("GET", "stock"))
    offer.replaceChildren(...groups(offers))
    if (!offers.length) return shown.replaceChildren(h("p", { className: "soft", textContent: T.noOffers }))
    if (offers.some((one) => nameOf(one) === before)) offer.value = before
    return load()
  }
  const button = (textContent, label, onclick) => h("button", { type: "button", textContent, onclick, aria: { label } })
  const line = h(
    "div",
    { className: "line" },
    button(
      "‹",
      T.monthBefore,
      toMonth(() => monthAfter(month, -1)),
    ),
    heading,
    button(
      "›",
      T.monthAfter,
      toMonth(() => monthAfter(month, 1)),
    ),
    button(
      T.thisMonth,
      T.thisMonth,
      toMonth(() => today().slice(0, 7)),
    ),
    pastLine,
  )
  const form = h(
    "form",
    { className: "card", onsubmit: (event) => event.preventDefault() },
    labelled(T.offer, offer),
    line,
  )
  return { parts: [form, said, over, shown], show }
}

const nameOf = ({ service_type, offer_id }) => `${service_type}/${offer_id}`
const pathOf = (offer) => `stock/${nameOf(offer)}`
const nextSession = ({ sessions: there }) =>
  there
    .map(({ session }) => session)
    .filter((session) => session >= today())
    .sort()[0]

function groups(offers) {
  return [...new Set(offers.map((one) => one.service_type))].map((kind) =>
    h(
      "optgroup",
      { label: T.products[kind] ?? kind },
      offers
        .filter((one) => one.service_type === kind)
        .map((one) =>
          h("option", { value: nameOf(one), textContent: one.on_sale ? one.title : T.about(one.title, T.offSale) }),
        ),
    ),
  )
}

const act = (textContent, onclick, label) => h("button", { textContent, onclick, aria: label ? { label } : {} })

// --- nights of rooms

function nights(page, since) {
  const { read } = page
  const shown = read.nights.filter(({ date }) => date >= since)
  const head = h(
    "div",
    { className: "head" },
    h("h2", { textContent: `${read.title} · ${T.rooms(read.rooms)}` }),
    h(
      "div",
      { className: "line" },
      act(T.blockRoom, () => blockNights(page, today() > shown[0].date ? today() : shown[0].date)),
      act(T.changeRooms, () => capacityDialog(page, T.changeRooms, T.newRooms, read.rooms, MOST_ROOMS, "rooms")),
    ),
  )
  const own = read.blocks.filter((one) => one.nights.some((night) => night.startsWith(read.month)))
  return [head, grid(page, shown), ...blockList(page, own)]
}

function grid(page, shown) {
  const { read } = page
  const most = Math.max(read.rooms, ...read.nights.flatMap(({ held }) => held.map(({ unit }) => unit)))
  const units = Array.from({ length: most }, (_, n) => n + 1)
  const number = (unit) =>
    h("th", {
      scope: "col",
      textContent: unit,
      title: T.room(unit),
      className: unit > read.rooms ? "bad" : "",
      aria: { label: T.room(unit) },
    })
  const holder = (row, unit) => {
    const found = shown[row]?.held.find((one) => one.unit === unit)
    return found && (found.order_sn ?? found.block_id)
  }
  // Nights in a row that one holds in the same room are one cell.
  const cell = (row, unit) => {
    const name = holder(row, unit)
    if (name && row && holder(row - 1, unit) === name) return null
    const same = shown.slice(row).findIndex((_, n) => holder(row + n, unit) !== name)
    const one = shown[row].held.find((held) => held.unit === unit)
    return h(
      "td",
      {
        rowSpan: name ? (same < 0 ? shown.length - row : same) : 1,
        className: one ? (one.order_sn ? "held" : "blocked") : "",
      },
      one && holderButton(page, one),
    )
  }
  const row = (night, n) => {
    const price = night.price_fen === null ? T.notSold : yuan(night.price_fen).replace(/\.00$/, "")
    const day = h("th", { scope: "row" }, dayText(night.date), h("span", { className: "price", textContent: price }))
    const block = () => blockNights(page, night.date)
    const free =
      night.free > 0 && night.date >= today()
        ? act(night.free, block, [`${T.freeRooms} ${night.free}`, `${T.block} ${dayText(night.date)}`].join(T.comma))
        : night.free
    const look = night.free < 0 ? "bad" : night.free === 0 ? "soft" : ""
    return h(
      "tr",
      { className: night.date < today() ? "past" : night.date === today() ? "today" : "" },
      day,
      h("td", { className: `number ${look}` }, free),
      units.map((unit) => cell(n, unit)),
    )
  }
  const heads = [T.date, T.freeRooms].map((textContent) => h("th", { scope: "col", textContent }))
  const caption = h("caption", { className: "visually-hidden", textContent: T.calendar })
  const table = h(
    "table",
    { className: "nights" },
    caption,
    h("thead", {}, h("tr", {}, heads, units.map(number))),
    h("tbody", {}, shown.map(row)),
  )
  return h("div", { className: "scroll", tabIndex: 0, role: "region", aria: { label: T.calendar } }, table)
}

function holderButton(page, { order_sn, block_id }) {
  if (order_sn) {
    const button = act(order_sn.slice(-6), () => page.openOrder(order_sn), `${T.order} ${order_sn}`)
    button.title = order_sn
    return button
  }
  const block = page.read.blocks.find((one) => one.block_id === block_id)
  if (!block) return T.counts.blocked
  const button = act(block.reason, () => unblockDialog(page, block), `${T.unblock} ${block.reason}`)
  button.title = `${block.reason} · ${block.by}`
  return button
}

// --- sessions

function sessions(page) {
  const { read } = page
  const none = h("p", { className: "soft", textContent: T.noSessions })
  const list = h(
    "ul",
    { className: "sessions" },
    read.sessions.map((one) => sessionLine(page, one)),
  )
  const own = read.blocks.filter((one) => one.session?.startsWith(read.month))
  const head = h("h2", { textContent: read.title })
  return [head, read.sessions.length ? list : none, ...blockList(page, own)]
}

function sessionLine(page, one) {
  const { session: name, minutes, price_fen, seats, held, blocked, free } = one
  const count = (what, n, look = "") =>
    h("span", { className: look }, `${T.counts[what]} `, h("strong", { textContent: n }))
  const names = { service_type: page.read.service_type, offer_id: page.read.offer_id, session: name }
  const what = minutes ? `${T.minutes(minutes)} · ${yuan(price_fen)}` : T.gone
  const look = free < 0 ? "bad" : ""
  return h(
    "li",
    { className: name < today() ? "past" : "", role: "group", aria: { label: beginText(name) } },
    h("p", {}, h("strong", { textContent: beginText(name) }), ` · ${what}`),
    h(
      "p",
      { className: "line counts" },
      count("seats", seats),
      count("booked", held - blocked),
      count("blocked", blocked),
      count("free", free, look),
    ),
    h(
      "div",
      { className: "line" },
      act(T.toRoster, () => page.openRoster(names)),
      minutes > 0 && name >= today() && act(T.blockSeats, () => blockSeats(page, one)),
      minutes > 0 &&
        act(T.changeSeats, () => capacityDialog(page, T.changeSeats, T.newSeats, seats, MOST_SEATS, "seats", name)),
    ),
  )
}

// --- blocks

function blockList(page, blocks) {
  if (!blocks.length) return []
  const line = (block) => {
    const who = `${T.by} ${block.by} · ${time(block.at)}`
    return h(
      "li",
      {},
      h(
        "div",
        {},
        h("span", { textContent: `${holdsText(block)} · ${block.reason}` }),
        h("p", { className: "soft", textContent: who }),
      ),
      act(T.unblock, () => unblockDialog(page, block)),
    )
  }
  const list = h("ul", { className: "blocks" }, blocks.map(line))
  return [h("section", { aria: { label: T.blocks } }, h("h3", { textContent: T.blocks }), list)]
}

function blockNights(page, first) {
  const from = h("input", { type: "date", required: true, min: today(), value: first })
  const to = h("input", { type: "date", required: true, min: today(), value: first })
  from.onchange = () => (to.value = to.value < from.value ? from.value : to.value)
  const read = () => {
    const days = []
    for (let day = from.value; day <= to.value && days.length <= MOST_NIGHTS; day = dayAfter(day)) days.push(day)
    if (!days.length || days.length > MOST_NIGHTS) throw wrong(T.nightsWrong)
    return { nights: days }
  }
  const told = h("p", { className: "soft", textContent: T.blocking })
  const dates = h("div", { className: "two" }, labelled(T.firstNight, from), labelled(T.lastNight, to))
  blockDialog(page, T.blockRoom, [told, dates], read)
}

function blockSeats(page, { session: name, free }) {
  const seats = h("input", { type: "number", min: 1, max: Math.max(free, 1), value: 1, required: true })
  const read = () => {
    const number = Number(seats.value)
    if (!Number.isInteger(number) || number < 1) throw wrong(T.seatsBlockWrong)
    return { session: name, seats: number }
  }
  const told = h("p", { textContent: `${beginText(name)} · ${T.counts.free} ${free}` })
  blockDialog(page, T.blockSeats, [told, labelled(T.seats, seats)], read)
}

// `read` gives what is to be blocked, or throws a Problem.
function blockDialog(page, title, fields, read) {
  const reason = h("input", { maxLength: MAX_REASON, required: true, autocomplete: "off" })
  const send = async () => {
    const body = { ...read(), reason: reason.value.trim() }
    if (!body.reason) throw wrong(T.reasonWrong)
    let made
    try {
      made = await api("POST", `${page.path}/blocks`, body)
    } catch (error) {
      // A block that is asked for twice is two blocks.
      if (!error.known) Object.assign(error, { text: `${error.text}${T.period}${T.lookFirst}`, known: true })
      else if (error.kind !== "sold-out") throw error
      attempt(page.reload)()
      throw error
    }
    await page.reload()
    note(T.blocked(`${holdsText(made)} · ${made.reason}`), "good")
  }
  dialog(title, [...fields, labelled(T.blockReason, reason)], T.block, send)
}

function unblockDialog(page, block) {
  const what = holdsText(block)
  const send = async () => {
    try {
      await api("DELETE", `${page.path}/blocks/${block.block_id}`)
    } catch (error) {
      if (error.kind === "not-found") error.text = T.blockGone
      throw error
    }
    await page.reload()
    note(T.unblocked(what), "good")
  }
  dialog(T.unblock, [h("p", { textContent: T.unblockSure(what, block.reason) })], T.unblock, send)
}

// --- how much there is

// Of all rooms (`field`: rooms), or of a session's seats.
function capacityDialog(page, title, text, now, most, field, name) {
  const input = h("input", { type: "number", min: 0, max: most, value: now, required: true })
  const send = async () => {
    const number = Number(input.value)
    if (!Number.isInteger(number) || number < 0 || number > most) throw wrong(T.numberWrong(most))
    const body = { [field]: number, ...(name && { session: name }) }
    const { over } = await api("PUT", page.path, body)
    await page.reload()
    page.tellOver(over)
    note(T.changed, "good")
  }
  const told = name ? [h("p", { textContent: beginText(name) })] : []
  dialog(title, [...told, labelled(text, input)], title, send)
}
