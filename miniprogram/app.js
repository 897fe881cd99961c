const { createPay } = require("./pay.js")
const { baseUrl, templateIds } = require("./config.js")
const texts = require("./texts.js")

const lang = /^zh/.test(wx.getAppBaseInfo().language) ? "zh" : "en"

App({
  pay: createPay({ baseUrl, templateIds, lang, wx }),
  t: texts[lang],
  onLaunch() {
    // Names that app.json can have in one language only.
    this.t.tabs.forEach((text, index) => wx.setTabBarItem({ index, text, fail() {} })) // no tab bar where a message's link opens
  },
})
