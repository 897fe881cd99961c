// What the client's tests stand on: time that only they move, and a phone with a server behind it that fails in every
// way the real ones do. The mini-program's own files run over it as they are.
const assert = require("node:assert/strict")
const fs = require("node:fs")
const path = require("node:path")

const HERE = path.join(__dirname, "../../miniprogram")
const MOST = 5000 // timers in one world: no test needs so many, a circle without a pause does
const STAY = {
  service_type: "homestay",
  homestay_id: "lake-house",
  start_date: "2026-12-01",
  end_date: "2026-12-03",
  people: 2,
  need_food: true,
}
const COURSE = { course_id: "ink", title: "书法", subtitle: "", place: "杭州", from_fen: 12800 }
const FIELDS = {
  timeStamp: "1",
  nonceStr: "n",
  package: "prepay_id=wx1",
  signType: "RSA",
  paySign: "s",
  out_trade_no: "HSO1_1",
}

// Virtual time: it moves to the next timer when nothing else is left to do.
class Timers {
  passed = 0
  time = 1_800_000_000_000
  waiting = []
  busy = () => false
  now = () => this.time
  start = (run, ms) => {
    const timer = { at: this.time + (ms || 0), run }
    this.waiting.push(timer)
    return timer
  }
  stop = (timer) => {
    this.waiting = this.waiting.filter((one) => one !== timer)
  }

  // Until nothing moves any more without time.
  async settle() {
    do {
      for (let turn = 0; turn < 2; turn++) await new Promise(setImmediate)
    } while (this.busy())
  }

  next(until = Infinity) {
    assert.ok(this.passed++ < MOST, "it never comes to rest")
    this.waiting.sort((a, b) => a.at - b.at)
    if (!this.waiting.length || this.waiting[0].at > until) return false
    const timer = this.waiting.shift()
    this.time = Math.max(this.time, timer.at)
    timer.run()
    return true
  }

  async run(promise) {
    let done = false
    const end = () => (done = true)
    promise.then(end, end)
    for (;;) {
      await this.settle()
      if (done) return promise
      assert.ok(this.next(), "it waits for something that never comes")
    }
  }

  async advance(ms) {
    const until = this.time + ms
    do await this.settle()
    while (this.next(until))
    this.time = until
  }
}

// The server and the phone. `replies[route]` are used up in turn, the last one stays; a reply is { status, body, header },
// a function of the options that gives one, 'lost' (it took effect, the answer did not come), 'offline', 'never' (no
// callback at all) or 'throws'. `failing`, a function of the route, comes first: what it gives is the reply.
class World {
  timers = new Timers()
  calls = []
  stored = {}
  orders = new Map()
  cashier = ["ok"]
  subscription = "ok"
  logins = 0
  language = "zh_CN"
  failing = () => undefined
  opened = false // whether a cashier has opened, here or anywhere
  asked = [] // what its dialogs have asked
  agrees = () => true // what the guest says to them
  types = [""] // what he types into their fields, used up in turn
  went = [] // where the pages went
  replies = {
    "POST /login": [
      () => ({ status: 200, body: { token: `token-${++this.logins}`, expires_in: 7200, user_id: "u1" } }),
    ],
    "POST /orders": [(options) => ({ status: 201, body: this.ordered(options.header["Idempotency-Key"]) })],
    "POST /orders/HSO1/prepay": [{ status: 200, body: FIELDS }],
    "GET /catalogue/homestay": [{ status: 200, body: { offers: [] } }],
    "GET /catalogue/homestay/lake-house/availability": [({ url }) => ({ status: 200, body: this.free(url) })],
    "GET /catalogue/course": [() => ({ status: 200, body: { offers: [{ ...COURSE, sessions: this.sessions }] } })],
    "GET /catalogue/course/ink/availability": [({ url }) => ({ status: 200, body: this.freeSeats(url) })],
  }
  sessions = [{ session: "2027-01-23T19:00", minutes: 120, price_fen: 12800, seats: 8, free: 8 }] // of the course
  nights = {} // by date, what is not as every night is

  freeSeats(url) {
    const { from, to } = Object.fromEntries(new URL(url).searchParams)
    const sessions = this.sessions.filter(({ session }) => session >= from && session.slice(0, 10) <= to)
    return { service_type: "course", offer_id: "ink", sessions }
  }

  // What is free of the home on the days that the address asks for.
  free(url) {
    const { from, to } = Object.fromEntries(new URL(url).searchParams)
    const nights = []
    for (let at = Date.parse(from); at <= Date.parse(to); at += 24 * 3600_000) {
      const date = new Date(at).toISOString().slice(0, 10)
      nights.push({ date, price_fen: 100, free: 1, ...this.nights[date] })
    }
    return { service_type: "homestay", offer_id: "lake-house", nights }
  }

  constructor() {
    let inFlight = 0
    this.timers.busy = () => inFlight > 0
    this.answer = (answer) => {
      inFlight++
      setImmediate(() => {
        inFlight--
        answer()
      })
    }
  }

  ordered(key) {
    if (!this.orders.has(key)) this.orders.set(key, { order_sn: `HSO${this.orders.size + 1}`, status: "WAIT_PAY" })
    return this.orders.get(key)
  }

  wx = {
    login: ({ success }) => success({ code: `code-${this.calls.length}`, errMsg: "login:ok" }),
    getStorageSync: (key) => this.stored[key] || "",
    setStorageSync: (key, value) => (this.stored[key] = JSON.parse(JSON.stringify(value))),
    removeStorageSync: (key) => delete this.stored[key],
    request: (options) => {
      const route = `${options.method} ${new URL(options.url).pathname}`
      this.calls.push({ route, at: this.timers.now(), ...options, body: options.data && JSON.parse(options.data) })
      const queue = this.replies[route]
      assert.ok(queue, `no answer to ${route}`)
      let reply = this.failing(route) || (queue.length > 1 ? queue.shift() : queue[0])
      if (reply === "lost") {
        if (typeof queue[0] === "function") queue[0](options)
        reply = "offline"
      }
      if (typeof reply === "function") reply = reply(options)
      if (reply === "never") return
      if (reply === "throws") throw new Error("request is not available")
      const told =
        reply === "offline"
          ? { errMsg: "request:fail net::ERR_INTERNET_DISCONNECTED" }
          : { errMsg: "request:ok", statusCode: reply.status, data: reply.body, header: reply.header }
      const answer = () => {
        if (reply === "offline") options.fail(told)
        else options.success(told)
        options.complete(told)
      }
      if (reply.after) this.timers.start(answer, reply.after)
      else this.answer(answer)
    },
    requestPayment: (options) => {
      this.calls.push({ route: "cashier", ...options })
      this.opened = true
      const end = this.cashier.length > 1 ? this.cashier.shift() : this.cashier[0]
      if (end === "ok") options.success({ errMsg: "requestPayment:ok" })
      else if (end === "old cancel") options.complete({ errMsg: "requestPayment:cancel" })
      else if (end === "throws") throw new Error("requestPayment is not available")
      else if (end !== "never") options.fail({ errMsg: `requestPayment:fail ${end}` })
    },
    requestSubscribeMessage: (options) => {
      this.calls.push({ route: "subscribe", ...options })
      if (this.subscription === "ok") options.success({ errMsg: "requestSubscribeMessage:ok", T1: "accept" })
      else if (this.subscription !== "never") options.fail({ errMsg: "requestSubscribeMessage:fail", errCode: 20004 })
    },
    getAppBaseInfo: () => ({ language: this.language }),
    setNavigationBarTitle: () => {},
    setTabBarItem: () => {},
    stopPullDownRefresh: () => {},
    navigateTo: ({ url }) => this.went.push(url),
    redirectTo: ({ url }) => this.went.push(url),
    switchTab: ({ url }) => this.went.push(url),
    showModal: (options) => {
      this.asked.push(options)
      for (const name of ["confirmText", "cancelText"]) {
        if (options[name].length > 4) return options.fail?.({ errMsg: `showModal:fail ${name} is longer than 4` })
      }
      const confirm = this.agrees()
      const typed = this.types.length > 1 ? this.types.shift() : this.types[0]
      options.success(options.editable ? { confirm, content: confirm ? typed : null } : { confirm })
    },
  }

  routes(part = "") {
    return this.calls.map((call) => call.route).filter((route) => route.includes(part))
  }

  // --- the mini-program as it is, over this phone and this time

  // One start of the app: its modules are new, its storage is the phone's.
  launch() {
    const { timers } = this
    class Now extends Date {
      constructor(...at) {
        super(...(at.length ? at : [timers.now()]))
      }
      static now = timers.now
    }
    const modules = new Map()
    const config = { baseUrl: "https://api.example.com", templateIds: ["T1"] }
    let defined
    let app
    const load = (file) => {
      if (!modules.has(file)) {
        const module = { exports: {} }
        modules.set(file, module)
        const globals = {
          require: (name) => (name.endsWith("config.js") ? config : load(path.join(path.dirname(file), name))),
          module,
          exports: module.exports,
          wx: this.wx,
          App: (definition) => (app = definition),
          getApp: () => app,
          Page: (definition) => (defined = definition),
          setTimeout: timers.start,
          clearTimeout: timers.stop,
          Date: Now,
        }
        new Function(...Object.keys(globals), fs.readFileSync(file, "utf8"))(...Object.values(globals))
      }
      return modules.get(file).exports
    }
    load(path.join(HERE, "app.js"))
    app.onLaunch()
    const open = (name, query = {}) => {
      if (!modules.has(`page ${name}`)) {
        load(path.join(HERE, `pages/${name}/${name}.js`))
        modules.set(`page ${name}`, defined)
      }
      const definition = modules.get(`page ${name}`)
      const page = { ...definition, data: structuredClone(definition.data) }
      page.setData = (changes) => Object.assign(page.data, structuredClone(changes))
      page.onLoad?.(query)
      page.onShow?.()
      return page
    }
    return { app, pay: app.pay, open }
  }
}

module.exports = { World, Timers, STAY, FIELDS }
