// wx, as far as miniprogram/ uses it, over the browser: requests go to the API, the WeChat app is the simulator.

// `user`: who holds the phone. `phone`: the frame with its dialogs. `router`: the pages. `heard(url, data)` is told of
// every answer.
export function createWx({ user, lang, phone, router, heard }) {
  const key = (name) => `wx:${user}:${name}`
  // WeChat calls success or fail, then complete.
  const end = (options, name, told, good) => {
    const result = { errMsg: `${name}:ok`, ...told }
    options[good ? "success" : "fail"]?.(result)
    options.complete?.(result)
  }
  return {
    getAppBaseInfo: () => ({ language: lang === "zh" ? "zh_CN" : "en" }),

    getStorageSync: (name) => JSON.parse(localStorage.getItem(key(name)) ?? '""'),
    setStorageSync: (name, value) => localStorage.setItem(key(name), JSON.stringify(value)),
    removeStorageSync: (name) => localStorage.removeItem(key(name)),

    async login(options) {
      try {
        end(options, "login", await wechat("login", { user }), true)
      } catch (error) {
        end(options, "login", { errMsg: `login:fail ${error.message}` }, false)
      }
    },

    async request(options) {
      const { url, method = "GET", header, data, timeout = 60000 } = options
      let reply
      let body
      try {
        reply = await fetch(url, { method, headers: header, body: data, signal: AbortSignal.timeout(timeout) })
        body = await reply.text()
      } catch (error) {
        const why = error.name === "TimeoutError" ? "timeout" : "net::ERR_FAILED"
        return end(options, "request", { errMsg: `request:fail ${why}` }, false)
      }
      try {
        body = JSON.parse(body)
      } catch {
        // dataType json: what is not JSON stays text
      }
      heard(url, body)
      end(options, "request", { statusCode: reply.status, header: Object.fromEntries(reply.headers), data: body }, true)
    },

    async requestSubscribeMessage(options) {
      const wanted = await phone.askForMessages()
      try {
        const told = wanted
          ? await wechat("subscribe", { user, template_ids: options.tmplIds })
          : await wechat("refuse", { user, template_ids: options.tmplIds })
        end(options, "requestSubscribeMessage", told, true)
      } catch (error) {
        end(
          options,
          "requestSubscribeMessage",
          { errMsg: `requestSubscribeMessage:fail ${error.message}`, errCode: 10002 },
          false,
        )
      }
    },

    async requestPayment({ success, fail, complete, ...fields }) {
      const options = { success, fail, complete }
      try {
        const trade = await wechat("cashier/open", { ...fields, user })
        if (!trade.out_trade_no) return end(options, "requestPayment", trade, false)
        const paid = await phone.cashier(trade)
        const told = await wechat(paid ? "cashier/pay" : "cashier/cancel", { ...fields, user })
        end(options, "requestPayment", told, told.errMsg === "requestPayment:ok")
      } catch (error) {
        end(options, "requestPayment", { errMsg: `requestPayment:fail ${error.message}` }, false)
      }
    },

    navigateTo: ({ url }) => router.open(url),
    redirectTo: ({ url }) => router.replace(url),
    switchTab: ({ url }) => router.tab(url),
    setNavigationBarTitle: ({ title }) => router.title(title),
    setTabBarItem: ({ index, text }) => phone.tabText(index, text),
    stopPullDownRefresh: () => {},

    // In an editable one the content is what stands in the field, at first and in the end.
    async showModal({ title, content, editable, placeholderText, confirmText, cancelText, success, fail }) {
      const long = [confirmText, cancelText].find((text) => text?.length > 4) // WeChat's own limit
      if (long) return fail?.({ errMsg: `showModal:fail ${long} is longer than 4 characters` })
      const field = editable && phone.field({ title, content, placeholderText })
      const shown = field ? { inner: field } : { content }
      const confirm = await phone.ask({ title, ...shown, confirmText, cancelText })
      success?.({ confirm, cancel: !confirm, ...(field && { content: confirm ? field.value : null }) })
    },
  }
}

// One call to the simulated WeChat app.
export async function wechat(what, body) {
  const reply = await fetch(`phone/wechat/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20000),
  })
  if (!reply.ok) throw new Error(`WeChat answers ${reply.status}`)
  return reply.json()
}
