// The language of the laptop cloud's pages: zh-CN or English, remembered; a change loads the page anew.
export const lang = (localStorage.getItem("lang") ?? navigator.language).startsWith("zh") ? "zh" : "en"
document.documentElement.lang = lang === "zh" ? "zh-CN" : "en"

export function switchLang() {
  localStorage.setItem("lang", lang === "zh" ? "en" : "zh")
  location.reload()
}
