// The counter: staff look an order up by its code, redeem it, refund it, and close cases; they see who comes, and who holds
// what is sold; they read what their business is owed, and the owner how each day stands against WeChat's bill. Nothing is
// shown without a staff token; it lives as long as the tab does.

import { TOKEN, api, attempt, note, said, whenSignedOut } from "./counter-ask.js"
import { bills } from "./counter-bills.js"
import { caseList } from "./counter-cases.js"
import { orderCard } from "./counter-order.js"
import { roster } from "./counter-roster.js"
import { stock } from "./counter-stock.js"
import { T } from "./counter-words.js"
import { h } from "./dom.js"
import { lang, switchLang } from "./lang.js"

// --- the page

const main = h("main")
const tabs = Object.entries(T.views).map(([name, textContent]) => h("a", { href: `#${name}`, textContent }))
let views = null // of who is signed in, by name: the parts of each, and what reads them anew

function frame(...parts) {
  const out = h("button", { textContent: T.out, onclick: () => signIn() })
  const other = h("button", { textContent: T.other, lang: lang === "zh" ? "en" : "zh-CN", onclick: switchLang })
  const nav = h("nav", {}, views && out, other)
  const bar = h("header", { className: "bar" }, h("h1", { textContent: T.title }), nav)
  const places = views ? [h("nav", { className: "tabs", aria: { label: T.title } }, tabs)] : []
  document.body.replaceChildren(bar, ...places, main)
  main.replaceChildren(...parts)
}

function signIn(text = "") {
  sessionStorage.removeItem(TOKEN)
  views = null
  const token = h("input", { type: "password", id: "token", required: true, autocomplete: "off" })
  const submit = attempt(async () => {
    sessionStorage.setItem(TOKEN, token.value.trim())
    await enter()
  })
  const label = h("label", { htmlFor: "token", textContent: T.token })
  const hint = h("p", { className: "soft" }, T.hint, h("br"), h("code", { textContent: "./dev token --link" }))
  const button = h("button", { className: "primary", textContent: T.signIn })
  frame(h("form", { className: "card", onsubmit: submit }, label, token, hint, button), said)
  note(text, "bad")
  token.focus()
}

// That the token is good the cases show; nothing is drawn before.
async function enter() {
  const cases = await api("GET", "cases")
  views = {
    desk: desk(cases),
    stock: stock(openOrder, openRoster),
    roster: roster(openOrder),
    bills: bills(openOrder),
  }
  frame()
  await go()
}

// Shows what the address says after #: stock, a day's roster, bills, an order at the desk.
async function go() {
  const at = new URLSearchParams(location.hash.slice(1))
  const token = at.get("token")
  if (token) {
    // No server ever sees what stands after #; it does not stay there.
    sessionStorage.setItem(TOKEN, token)
    history.replaceState(null, "", location.pathname)
    views = null
  }
  if (!sessionStorage.getItem(TOKEN)) return signIn()
  if (!views) return enter()
  const shown = Object.keys(views).find((view) => at.has(view)) ?? "desk"
  for (const tab of tabs) {
    if (tab.hash === `#${shown}`) tab.setAttribute("aria-current", "page")
    else tab.removeAttribute("aria-current")
  }
  document.body.dataset.view = shown
  note("")
  main.replaceChildren(...views[shown].parts)
  await views[shown].show(at)
}

const goTo = (place) => (location.hash = String(new URLSearchParams(place)))
const openOrder = (order) => goTo({ desk: "", order })
const openRoster = (names) => goTo({ roster: "", ...names })

// --- the desk

const code = h("input", {
  id: "code",
  name: "code",
  autocomplete: "off",
  autocapitalize: "characters",
  spellcheck: false,
  maxLength: 40,
  className: "code",
  required: true,
})

function desk(cases) {
  const found = h("section", { aria: { live: "polite" } })
  let cards = []
  const changed = async () => {
    const [page] = await Promise.all([api("GET", "cases"), ...cards.map(({ reload }) => reload())])
    list.fill(page)
  }
  const redeemed = () => {
    code.value = ""
    code.focus()
  }
  const lookUp = async () => {
    found.replaceChildren()
    const { orders } = await api("POST", "lookups", { code: code.value })
    if (orders.length > 1) note(T.choose)
    cards = orders.map((order) => orderCard(order, code.value, { redeemed, changed }))
    found.replaceChildren(...cards.map(({ card }) => card))
  }
  const list = caseList(changed, openOrder)
  list.fill(cases)
  const submit = attempt(async () => {
    history.replaceState(null, "", location.pathname)
    await lookUp()
  })
  const label = h("label", { htmlFor: "code", textContent: T.code })
  const button = h("button", { className: "primary", textContent: T.look })
  const line = h("div", { className: "line" }, code, button, scanner(submit))
  const form = h("form", { className: "card find", onsubmit: submit }, label, line)
  let seen = true // the cases were read just now
  const show = async (at) => {
    const order = at.get("order")
    if (order) {
      code.value = order
      await lookUp()
      cards[0].card.focus()
      list.fill(await api("GET", "cases"))
      return
    }
    code.focus()
    if (!seen) await changed()
    seen = false
  }
  return { parts: [form, said, found, list.section], show }
}

// A camera button where the browser reads QR codes itself; a scanner that types needs nothing.
function scanner(submit) {
  if (!("BarcodeDetector" in window)) return null
  const button = h("button", { type: "button", textContent: T.scan })
  let stop = null
  button.onclick = async () => {
    if (stop) return stop()
    let stream
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } })
    } catch {
      return note(T.camera, "bad")
    }
    const video = h("video", { autoplay: true, muted: true, playsInline: true, srcObject: stream })
    button.textContent = T.stop
    button.closest("form").append(video)
    stop = () => {
      stream.getTracks().forEach((track) => track.stop())
      video.remove()
      button.textContent = T.scan
      stop = null
    }
    const detector = new BarcodeDetector({ formats: ["qr_code"] })
    const look = async () => {
      if (!stop) return
      const [seen] = video.readyState >= 2 ? await detector.detect(video) : []
      if (!seen) return requestAnimationFrame(look)
      stop()
      code.value = seen.rawValue
      await submit()
    }
    look()
  }
  return button
}

// --- start

whenSignedOut(signIn)
addEventListener("hashchange", attempt(go))
attempt(go)()
