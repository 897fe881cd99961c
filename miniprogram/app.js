const { createPay } = require("./pay.js")
const { baseUrl, templateIds } = require("./config.js")
const texts = require("./texts.js")

const lang = /^zh/.test(wx.getAppBaseInfo().language) ? "zh" : "en"

App({
  pay: createPay({ baseUrl, templateIds, lang, wx }),
  t: texts[lang],
  onLaunch() {
    // Names that app.json can have in one language only. Where a message's link opens there is no tab bar: it fails.
    this.t.tabs.forEach((text, index) => wx.setTabBarItem({ index, text, fail() {} }))
  },
})
