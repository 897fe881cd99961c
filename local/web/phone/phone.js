// The phone: a frame in which the mini-program of miniprogram/ runs as it is, its pages over wxml.js, its wx over wx.js.

import { h, yuan } from "../dom.js"
import { lang } from "../lang.js"
import { draw, parse } from "./wxml.js"
import { createWx, wechat } from "./wx.js"

const PASSWORD = "123456"
const NOTIFICATION_S = 6
const LISTEN_MS = 1000
const BASE = "miniprogram"

const T = {
  zh: {
    phone: "手机",
    back: "返回",
    pay: "微信支付",
    close: "关闭",
    password: "请输入支付密码",
    hint: `试用密码 ${PASSWORD}`,
    wrong: "支付密码错误，请重试",
    erase: "删除",
    digits: "密码，六位数字",
    entered: (n) => `已输入 ${n} 位`,
    ask: "允许发送以下消息？",
    messages: ["订单确认通知", "入住验证码", "退款通知"],
    allow: "允许",
    refuse: "拒绝",
    service: "服务通知",
    tabs: "标签栏",
  },
  en: {
    phone: "Phone",
    back: "Back",
    pay: "WeChat Pay",
    close: "Close",
    password: "Enter the payment password",
    hint: `For trying: ${PASSWORD}`,
    wrong: "Wrong password, try again",
    erase: "Delete",
    digits: "Password, six digits",
    entered: (n) => `${n} digits entered`,
    ask: "Allow these messages?",
    messages: ["Order confirmed", "Check-in code", "Refund"],
    allow: "Allow",
    refuse: "Refuse",
    service: "Service notification",
    tabs: "Tab bar",
  },
}[lang]

class Phone {
  constructor(element) {
    this.bar = h("header", { className: "bar" })
    const onBack = () => this.router.back()
    this.backButton = h("button", { className: "back", ariaLabel: T.back, textContent: "‹", onclick: onBack })
    this.titleText = h("h2", { className: "bar-title" })
    this.bar.append(this.backButton, this.titleText)
    this.screen = h("div", { className: "screen", role: "main" })
    this.tabs = h("nav", { className: "tabs", aria: { label: T.tabs } })
    this.body = h("div", { className: "body" }, this.bar, this.screen, this.tabs)
    this.layers = h("div", { className: "layers" })
    this.notices = h("div", { className: "notices", role: "status" })
    const handset = { className: "handset", aria: { label: T.phone } }
    element.append(h("section", handset, this.body, this.layers, this.notices))
  }

  title(text) {
    this.titleText.textContent = text
  }

  tabText(index, text) {
    if (this.tabs.children[index]) this.tabs.children[index].textContent = text
  }

  showTabs(list, open) {
    const tab = ({ text, pagePath }) => h("button", { textContent: text, onclick: () => open(`/${pagePath}`) })
    this.tabs.replaceChildren(...list.map(tab))
  }

  // --- dialogs; the page behind cannot be reached while one is open

  layer(sheet, label, onEscape) {
    const before = document.activeElement
    sheet.setAttribute("role", "dialog")
    sheet.setAttribute("aria-modal", "true")
    sheet.setAttribute("aria-label", label)
    const cover = h("div", { className: "cover" }, sheet)
    cover.addEventListener("keydown", (key) => key.key === "Escape" && onEscape())
    this.body.inert = true
    this.layers.append(cover)
    sheet.tabIndex = -1
    sheet.focus()
    return () => {
      cover.remove()
      this.body.inert = Boolean(this.layers.children.length)
      before?.focus?.()
    }
  }

  // Two buttons; what Escape means is the second.
  ask({ title, content, confirmText, cancelText, inner }) {
    return new Promise((resolve) => {
      const end = (answer) => {
        close()
        resolve(answer)
      }
      const no = h("button", { textContent: cancelText, onclick: () => end(false) })
      const yes = h("button", { className: "primary", textContent: confirmText, onclick: () => end(true) })
      const sheet = h(
        "div",
        { className: "sheet" },
        h("h3", { textContent: title }),
        content && h("p", { textContent: content }),
        inner,
        h("div", { className: "sheet-buttons" }, no, yes),
      )
      const close = this.layer(sheet, title, () => end(false))
    })
  }

  field({ title, content, placeholderText }) {
    return h("input", {
      className: "field",
      value: content ?? "",
      placeholder: placeholderText ?? "",
      autocomplete: "off",
      aria: { label: title },
    })
  }

  askForMessages() {
    const inner = h("ul", {}, ...T.messages.map((text) => h("li", { textContent: text })))
    return this.ask({ title: T.ask, confirmText: T.allow, cancelText: T.refuse, inner })
  }

  // The cashier of the WeChat app: true when the right password was typed, false when it was closed.
  cashier({ total, description }) {
    return new Promise((resolve) => {
      let typed = ""
      const end = (paid) => {
        close()
        resolve(paid)
      }
      const dots = h("div", { className: "dots", role: "img" }, ...Array.from({ length: 6 }, () => h("i")))
      const said = h("p", { className: "said", role: "status", textContent: T.hint })
      const show = () => {
        dots.setAttribute("aria-label", T.entered(typed.length))
        for (const [index, dot] of [...dots.children].entries()) dot.classList.toggle("typed", index < typed.length)
      }
      const type = (text) => {
        if (typed.length < 6) typed += text
        said.textContent = T.hint
        if (typed.length === 6) {
          if (typed === PASSWORD) return end(true)
          typed = ""
          said.textContent = `${T.wrong}（${T.hint}）`
        }
        show()
      }
      const erase = () => {
        typed = typed.slice(0, -1)
        show()
      }
      const key = (text, onclick) => h("button", { textContent: text, onclick })
      const digit = (number) => key(String(number), () => type(String(number)))
      const eraser = Object.assign(key("⌫", erase), { ariaLabel: T.erase })
      const digits = { className: "pad", role: "group", aria: { label: T.digits } }
      const pad = h("div", digits, [1, 2, 3, 4, 5, 6, 7, 8, 9].map(digit), h("span"), digit(0), eraser)
      const cross = { className: "close", ariaLabel: T.close, textContent: "×", onclick: () => end(false) }
      const sheet = h(
        "div",
        { className: "sheet cashier" },
        h("button", cross),
        h("h3", { textContent: T.pay }),
        h("p", { textContent: description }),
        h("p", { className: "amount", textContent: yuan(total) }),
        h("p", { className: "soft", textContent: T.password }),
        dots,
        said,
        pad,
      )
      sheet.onkeydown = (told) => {
        if (/^\d$/.test(told.key)) type(told.key)
        else if (told.key === "Backspace") erase()
      }
      const close = this.layer(sheet, T.pay, () => end(false))
      show()
    })
  }

  // A service notification slides in; a press opens its page.
  notify({ template, values }, open) {
    const title = h("strong", { textContent: `${T.service} · ${T.messages[template]}` })
    const onclick = () => {
      note.remove()
      open()
    }
    const note = h("button", { className: "notice", onclick }, title, h("span", { textContent: values.join(" · ") }))
    this.notices.append(note)
    setTimeout(() => note.remove(), NOTIFICATION_S * 1000)
  }
}

// The mini-program's modules and templates, each fetched once.
class Package {
  files = new Map()
  modules = new Map()

  async load(paths) {
    const fetched = async (path) => {
      const reply = await fetch(BASE + path)
      if (!reply.ok) throw new Error(`${path}: HTTP ${reply.status}`)
      this.files.set(path, await reply.text())
    }
    await Promise.all(paths.map(fetched))
  }

  // CommonJS, as mini-programs have it. `globals` are wx, App, Page and getApp.
  require(path, globals) {
    if (!this.modules.has(path)) {
      const module = { exports: {} }
      this.modules.set(path, module)
      const from = (name) => this.require(new URL(name, `https://x${path}`).pathname, globals)
      const names = Object.keys(globals)
      const source = `${this.files.get(path)}\n//# sourceURL=${BASE}${path}`
      const run = new Function("require", "module", "exports", ...names, source)
      run(from, module, module.exports, ...names.map((name) => globals[name]))
    }
    return this.modules.get(path).exports
  }

  template(path) {
    return parse(this.files.get(path), path)
  }

  style(...paths) {
    const sheet = new CSSStyleSheet()
    const css = paths.map((path) => this.files.get(path)).join("\n")
    const sized = css.replace(/(\d*\.?\d+)rpx/g, "calc($1 * 100cqw / 750)")
    sheet.replaceSync(sized.replace(/(^|[\s},])page(?=\s*[{,])/g, "$1:host"))
    return sheet
  }
}

const BUILT_IN = new CSSStyleSheet()
BUILT_IN.replaceSync(`
  :host { display: block; min-height: 100%; }
  * { box-sizing: border-box; }
  button { font: inherit; border: 0; cursor: pointer; } button:disabled { cursor: default; }
  input { font: inherit; border: 0; background: none; color: inherit; min-width: 0; }
  [role=button] { cursor: pointer; }
  [role=switch] { appearance: none; width: 3em; height: 1.7em; margin: 0; cursor: pointer; }
  [role=switch] { border-radius: 1em; background: #cfd2cf; transition: background .15s; }
  [role=switch]::after { content: ""; display: block; width: 1.4em; height: 1.4em; margin: .15em; }
  [role=switch]::after { border-radius: 50%; background: #fff; transition: translate .15s; }
  [role=switch]:checked { background: #067a43; } [role=switch]:checked::after { translate: 1.3em; }
  img[src$=".svg"] { object-fit: cover; }
  :focus-visible { outline: 3px solid #1a5fb4; outline-offset: 2px; }
`)

// One page of the mini-program, drawn into a shadow root so that its styles are its own.
class Screen {
  constructor(definition, path, query, pack) {
    this.path = path
    this.query = query
    this.host = h("div")
    const root = this.host.attachShadow({ mode: "open" })
    root.adoptedStyleSheets = [BUILT_IN, pack.style("/app.wxss", `${path}.wxss`)]
    this.root = root.appendChild(h("div"))
    this.page = { ...definition, data: structuredClone(definition.data) }
    this.page.setData = (changes) => {
      Object.assign(this.page.data, structuredClone(changes))
      this.draw()
    }
    this.context = { load: (src) => pack.template(src), call: (name, event) => this.page[name](event) }
    this.template = pack.template(`${path}.wxml`)
  }

  draw() {
    draw(this.root, this.template, this.page.data, this.context)
  }
}

class Router {
  stack = []
  definitions = {}

  constructor(phone, pack, settings) {
    Object.assign(this, { phone, pack, settings })
    this.isTab = (path) => settings.tabBar.list.some((tab) => `/${tab.pagePath}` === path)
  }

  open(url) {
    this.hide()
    this.push(url)
  }

  replace(url) {
    this.drop()
    this.push(url)
  }

  tab(url) {
    while (this.stack.length) this.drop()
    this.push(url)
  }

  // To the page before, or to the first tab when a message's link was all there was.
  back() {
    this.drop()
    if (this.stack.length) this.show()
    else this.push(`/${this.settings.tabBar.list[0].pagePath}`)
  }

  title(text) {
    this.stack.at(-1).title = text
    this.phone.title(text)
  }

  push(url) {
    const { pathname, searchParams } = new URL(url, "https://x")
    const screen = new Screen(this.definitions[pathname], pathname, Object.fromEntries(searchParams), this.pack)
    this.stack.push(screen)
    screen.draw()
    screen.page.onLoad?.(screen.query)
    this.show()
  }

  show() {
    const screen = this.stack.at(-1)
    const { phone } = this
    phone.title(screen.title ?? JSON.parse(this.pack.files.get(`${screen.path}.json`)).navigationBarTitleText)
    phone.screen.replaceChildren(screen.host)
    phone.screen.scrollTop = 0
    phone.backButton.hidden = this.stack.length < 2 && this.isTab(screen.path)
    phone.tabs.hidden = !this.isTab(screen.path)
    for (const [index, { pagePath }] of this.settings.tabBar.list.entries()) {
      phone.tabs.children[index].setAttribute("aria-current", `/${pagePath}` === screen.path)
    }
    screen.page.onShow?.()
  }

  hide() {
    this.stack.at(-1)?.page.onHide?.()
  }

  drop() {
    this.stack.pop()?.page.onUnload?.()
  }
}

export async function mountPhone(element) {
  const named = new URLSearchParams(location.search).get("user")
  const user = named ?? (localStorage.user ||= `guest-${crypto.randomUUID().slice(0, 6)}`)
  const phone = new Phone(element)
  const pack = new Package()
  const settings = await (await fetch(`${BASE}/app.json`)).json()
  await pack.load(await (await fetch("phone/manifest.json")).json())
  const router = (phone.router = new Router(phone, pack, settings))
  phone.showTabs(settings.tabBar.list, (path) => router.tab(path))
  // Who watches beside the phone is told which order it is about.
  let shown
  const heard = (url, data) => {
    const order_sn = data?.order_sn
    if (!order_sn || order_sn === shown) return
    shown = order_sn
    document.dispatchEvent(new CustomEvent("order", { detail: order_sn }))
  }
  const wx = createWx({ user, lang, phone, router, heard })
  let app
  const globals = {
    wx,
    App: (definition) => (app = definition),
    getApp: () => app,
    Page: (definition) => (globals.defined = definition),
  }
  pack.require("/app.js", globals)
  app.onLaunch?.()
  for (const path of settings.pages) {
    pack.require(`/${path}.js`, globals)
    router.definitions[`/${path}`] = globals.defined
  }
  router.push(`/${settings.pages[0]}`)
  addEventListener("visibilitychange", () => {
    const { page } = router.stack.at(-1)
    if (document.hidden) page.onHide?.()
    else page.onShow?.()
  })
  listen(user, phone, router)
}

// Shows the messages that WeChat sends to the user from now on.
async function listen(user, phone, router) {
  let seen = null
  for (;;) {
    try {
      if (!document.hidden) {
        const { messages } = await wechat("messages", { user, after: seen ?? -1 })
        if (seen !== null) {
          for (const message of messages) phone.notify(message, () => message.page && router.open(`/${message.page}`))
        }
        seen = messages.at(-1)?.id ?? seen ?? 0
      }
    } catch {
      // offline: the next look finds them
    }
    await new Promise((resolve) => setTimeout(resolve, LISTEN_MS))
  }
}
