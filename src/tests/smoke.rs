use crate::harness::*;

#[tokio::test]
async fn it_works() {
    let portal = Portal::start().await;
    let maria = portal.broker("maria").await;
    let chrome = portal.browser(CHROME).signed_in(&maria).await;
    let mac = portal.desktop("mac").signed_in(&maria).await;
    println!("{:#?}", chrome.get("/dashboard/settings").await);
    println!("{:#?}", mac.get("/api/v1/sessions").await);
    println!("{:?}", portal.statements_of(chrome.get("/dashboard/settings").into_future()).await.0);
}
