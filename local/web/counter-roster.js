// The roster: who comes on a day, to a session or to stay. Codes are redeemed at the desk; an order opens there.

import { api, attempt, labelled, said } from "./counter-ask.js"
import { T, dayAfter, today } from "./counter-words.js"
import { h } from "./dom.js"
import { inShort } from "./products.js"

// `openOrder` with the number of an order. The parts of the page, and what reads them anew.
export function roster(openOrder) {
  const day = h("input", { type: "date", required: true, value: today(), onchange: attempt(() => choose(null)) })
  const step = (number) => attempt(() => day.value && moveTo(dayAfter(day.value, number)))
  const button = (textContent, label, onclick) => h("button", { type: "button", textContent, onclick, aria: { label } })
  const choices = h("div", { className: "line choices", role: "group", aria: { label: T.sessions } })
  const counts = h("div", { className: "counts", role: "status" })
  const list = h("ul", { className: "guests" })
  const more = h("button", { textContent: T.more, hidden: true, onclick: attempt(() => add()) })
  let offers = []
  let chosen = {} // the names by which the arrivals of the day are asked for; none: all of them
  let read = { arrivals: [], next: null }
  let turn = 0 // of several that are under way the last one is shown

  const moveTo = async (to) => {
    day.value = to
    await choose(null)
  }
  const choose = async (names) => {
    chosen = names ?? {}
    drawChoices()
    list.replaceChildren()
    counts.replaceChildren()
    more.hidden = true
    read = { arrivals: [], next: null }
    if (day.value) await add()
  }
  const add = async () => {
    turn += 1
    const mine = turn
    const asked = { date: day.value, ...chosen, ...(read.next && { after: read.next }) }
    const page = await api("GET", `arrivals?${new URLSearchParams(asked)}`)
    if (mine !== turn) return
    read = { arrivals: [...read.arrivals, ...page.arrivals], next: page.next }
    list.append(...page.arrivals.map((order) => guest(order, openOrder)))
    more.hidden = !read.next
    counts.replaceChildren(...countLines(read.arrivals), read.next ? h("p", { className: "soft" }, T.andMore) : "")
  }
  const drawChoices = () => {
    const kinds = [...new Set(offers.filter((one) => one.rooms !== null).map((one) => one.service_type))]
    const sessions = offers.flatMap(({ service_type, offer_id, title, sessions: there }) =>
      there
        .filter(({ session }) => session.startsWith(day.value))
        .map(({ session }) => [`${session.slice(11)} ${title}`, { service_type, offer_id, session }]),
    )
    const all = [
      [T.all, {}],
      ...sessions.sort(([one], [other]) => (one < other ? -1 : 1)),
      ...kinds.map((service_type) => [T.products[service_type] ?? service_type, { service_type }]),
    ]
    const isChosen = (names) => String(new URLSearchParams(names)) === String(new URLSearchParams(chosen))
    const focused = choices.contains(document.activeElement)
    choices.replaceChildren(
      ...all.map(([textContent, names]) =>
        h("button", {
          type: "button",
          textContent,
          onclick: attempt(() => choose(names)),
          aria: { pressed: isChosen(names) },
        }),
      ),
    )
    if (focused) choices.querySelector("[aria-pressed=true]").focus()
  }
  const show = async (at) => {
    ;({ offers } = await api("GET", "stock"))
    const names = Object.fromEntries(["service_type", "offer_id", "session"].map((name) => [name, at.get(name)]))
    if (names.session) {
      day.value = names.session.slice(0, 10)
      await choose(names)
    } else await choose(chosen)
  }
  const line = h(
    "div",
    { className: "line days" },
    button("‹", T.earlier, step(-1)),
    labelled(T.day, day),
    button("›", T.later, step(1)),
    button(
      T.today,
      T.today,
      attempt(() => moveTo(today())),
    ),
  )
  const form = h("form", { className: "card", onsubmit: (event) => event.preventDefault() }, line, choices)
  const section = h("section", { className: "card", aria: { label: T.views.roster } }, counts, list, more)
  return { parts: [form, said, section], show }
}

const there = (order) => order.status === "USED"
const comes = (order) => there(order) || (order.status === "WAIT_USE" && !order.given_up)

// How many orders and people come, and how many are there, of each product.
function countLines(orders) {
  if (!orders.length) return [h("p", { className: "soft", textContent: T.nobody })]
  return [...new Set(orders.map((order) => order.service_type))].map((kind) => {
    const own = orders.filter((order) => order.service_type === kind && comes(order))
    const people = (some) => some.reduce((sum, order) => sum + inShort(order).people, 0)
    const parts = [T.people[kind]?.(people(own)), T.orders(own.length), T.there[kind]?.(people(own.filter(there)))]
    return h("p", {}, h("strong", { textContent: `${T.products[kind] ?? kind} ` }), parts.filter(Boolean).join(" · "))
  })
}

function guest(order, openOrder) {
  const { order_sn, status, on_hold, given_up, purchase } = order
  const over = given_up && !there(order) && status !== "REFUNDED"
  const word = on_hold ? T.onHold : over ? T.givenUp : (T.comes[status] ?? T.status[status])
  const look = over ? "GIVEN_UP" : status
  const what = [purchase.title, inShort(order).text].filter(Boolean).join(" · ")
  const button = h("button", { textContent: order_sn.slice(-6), title: order_sn, onclick: () => openOrder(order_sn) })
  button.setAttribute("aria-label", `${T.order} ${order_sn}`)
  return h(
    "li",
    { className: comes(order) ? "" : "over" },
    h(
      "div",
      {},
      h("span", { textContent: what }),
      purchase.remark && h("p", { className: "soft", textContent: purchase.remark }),
    ),
    h("strong", { className: `status ${look}`, textContent: word }),
    button,
  )
}
