// What is yours. baseUrl must be in the mini-program's list of request domains (开发管理 → 服务器域名).
module.exports = {
  baseUrl: "https://api.example.com",
  // The subscription message templates of the deployment: order confirmed, check-in code, refund. Where products have
  // templates of their own: { homestay: ["...", "...", "..."], course: ["...", "...", "..."] }.
  templateIds: [],
}
