package generate

import "slices"

// locales are all of them.
var locales = slices.Concat(latins, others)

// others are the locales of other scripts.
var others = []*locale{
	{
		weight: 6, countries: list("България, Bulgaria, BG"), code: "BG", language: "bg", zone: "Europe/Sofia", currency: "EUR",
		female:   words("Елена, Мария, Десислава, Гергана, Цветелина, Ивана, Росица, Теодора, Виолета, Надежда, Юлия, Яна, Светла, Жана, Кръстина, Боряна"),
		male:     words("Георги, Димитър, Иван, Николай, Стоян, Тодор, Христо, Цветан, Явор, Любомир, Красимир, Борис, Асен, Пламен, Румен, Живко"),
		families: slices.Concat(compounds("Иван, Димитр, Петр, Стоян, Тодор, Ангел, Атанас, Борис, Христ, Марин, Поп, Спас, Павл, Филип, Кръст, Йордан", "ов|ова"), compounds("Георги, Васил, Или, Кол, Ганч, Цон, Божил, Мит", "ев|ева")),
		street:   "STREET NUMBER", streets: list("ул. Сливница, бул. Витоша, ул. Шипка, ул. Цар Борис, пл. Независимост, ул. Раковски, бул. Приморски, ул. Люляк"),
		cities: list("София, Варна, Пловдив, Бургас, Русе, Стара Загора, Плевен, Видин"), postal: "####",
		trades: words("Транспорт, Мебели, Строй, Консулт, Винарна, Текстил, Печат, Пекарна"), forms: list("ЕООД, АД, ООД, и Синове"),
		calling: "359", trunk: "0", mobiles: list("887######, 898######"), landlines: list("2931####, 5263####"),
	},
	{
		weight: 6, countries: list("Україна, Ukraine, UA"), code: "UA", language: "uk", zone: "Europe/Kyiv", currency: "UAH",
		female:   words("Оксана, Олена, Ірина, Наталія, Світлана, Юлія, Галина, Лариса, Соломія, Ярина, Зоряна, Дарина, Софія, Євгенія, Ганна, Їлена"),
		male:     words("Олександр, Андрій, Сергій, Богдан, Тарас, Юрій, Ігор, Василь, Микола, Ярослав, Євген, Остап, Максим, Дмитро, Захар, Любомир"),
		families: slices.Concat(compounds("Шев, Сав, Крав, Мар, Дем, Пан, Тим, Юр, Кор, Рад, Зін, Лев", "ченко, чук"), compounds("Бойків, Заболот, Хмельниць, Чорновіл, Білець, Вишневець", "ський|ська"), families("Бондаренко, Коваленко, Ткаченко, Мельник, Олійник, Поліщук, Лисенко, Гончар, Щербак, Ґудзь")),
		street:   "STREET, NUMBER", streets: list("вул. Хрещатик, вул. Шевченка, просп. Перемоги, вул. Франка, пл. Ринок, вул. Садова, бульв. Лесі Українки, вул. Зелена"),
		cities: list("Київ, Львів, Одеса, Харків, Чернівці, Вінниця, Полтава, Ужгород"), postal: "0####",
		trades: words("Транспорт, Меблі, Будівництво, Консалтинг, Друк, Хліб, Текстиль, Логістика"), forms: list("ТОВ, ПАТ, та Сини"),
		calling: "380", trunk: "0", mobiles: list("67#######, 50#######"), landlines: list("44456####, 32297####"),
	},
	{
		weight: 5, countries: list("Ελλάδα, Greece, GR"), code: "GR", language: "el", zone: "Europe/Athens", currency: "EUR",
		female:   words("Μαρία, Ελένη, Κατερίνα, Βασιλική, Σοφία, Αγγελική, Γεωργία, Δήμητρα, Ιωάννα, Χρυσούλα, Φωτεινή, Ευαγγελία, Ζωή, Αθηνά, Ξένια, Θεοδώρα"),
		male:     words("Γιώργος, Γιάννης, Κώστας, Δημήτρης, Νίκος, Παναγιώτης, Βασίλης, Χρήστος, Θανάσης, Μιχάλης, Σπύρος, Σταύρος, Αλέξανδρος, Ευάγγελος, Φώτης, Ηλίας"),
		families: families("Παπαδόπουλος|Παπαδοπούλου, Παπανικολάου, Γεωργίου, Δημητρίου, Νικολάου, Ιωάννου, Βασιλείου, Οικονόμου, Καραγιάννης|Καραγιάννη, Βλάχος|Βλάχου, Αγγελόπουλος|Αγγελοπούλου, Μακρής|Μακρή, Κωνσταντίνου, Αντωνίου, Χατζής|Χατζή, Ζαφειρόπουλος|Ζαφειροπούλου, Ξενάκης|Ξενάκη, Σταματόπουλος|Σταματοπούλου, Τσίπουρας|Τσίπουρα, Ψαράς|Ψαρά, Αλεξίου, Μαυρίδης|Μαυρίδη, Λαμπρόπουλος|Λαμπροπούλου, Φωτίου"),
		street:   "STREET NUMBER", streets: list("Πανεπιστημίου, Ερμού, Λεωφόρος Αλεξάνδρας, Αγίου Κωνσταντίνου, Τσιμισκή, Βενιζέλου, Σόλωνος, Πλατεία Ομονοίας"),
		cities: list("Αθήνα, Θεσσαλονίκη, Πάτρα, Ηράκλειο, Βόλος, Ιωάννινα, Χανιά, Ρόδος"), postal: "1## ##",
		trades: words("Ναυτιλιακή, Μεταφορές, Εκδόσεις, Έπιπλα, Αρτοποιία, Κατασκευές, Οπτικά, Τουριστική"), forms: list("Α.Ε., Ε.Π.Ε., & Υιοί"),
		calling: "30", trunk: "", mobiles: list("694#######, 697#######"), landlines: list("2103######, 2310######"),
	},
	{
		weight: 5, countries: list("الإمارات العربية المتحدة, United Arab Emirates, UAE"), code: "AE", language: "ar", zone: "Asia/Dubai", currency: "AED",
		female: words("فاطمة=fatima, عائشة=aisha, مريم=maryam, نور=noor, سارة=sara, ليلى=layla, هدى=huda, زينب=zainab, رانيا=rania, سلمى=salma, ياسمين=yasmin, أميرة=amira, هند=hind, لطيفة=latifa"),
		male:   words("محمد=mohammed, أحمد=ahmed, علي=ali, عمر=omar, خالد=khalid, يوسف=yousef, حسن=hassan, إبراهيم=ibrahim, سعيد=saeed, راشد=rashid, طارق=tariq, فيصل=faisal, ماجد=majid, سلطان=sultan"),
		families: families("القاسم=alqasim, المنصوري=almansoori, الهاشمي=alhashimi, الشامسي=alshamsi, النعيمي=alnuaimi, حداد=haddad, خوري=khoury, منصور=mansour, ناصر=nasser, صالح=saleh, عبد الله=abdullah, الزعابي=alzaabi, الكعبي=alkaabi, فارس=fares, " +
			"درويش=darwish, بركات=barakat, الخطيب=alkhatib, سليمان=suleiman, يعقوب=yaqoub, الحسيني=alhusseini"),
		street: "STREET NUMBER", streets: list("شارع الشيخ زايد, شارع الكورنيش, شارع الوصل, شارع النخيل, شارع المطار, شارع السوق, طريق الخيل, شارع الجامعة"),
		cities: list("دبي, أبوظبي, الشارقة, عجمان, العين, الفجيرة"), postal: "0####",
		trades: words("للتجارة=trading, للنقل=transport, للمقاولات=contracting, للعقارات=realty, للسفر=travel, للعطور=perfumes, للأغذية=foods"), forms: list("ذ.م.م, ش.م.ع, وأولاده"),
		calling: "971", trunk: "0", mobiles: list("50#######, 55#######"), landlines: list("4332####, 2644####"),
	},
	{
		weight: 3, countries: list("ישראל, Israel, IL"), code: "IL", language: "he", zone: "Asia/Jerusalem", currency: "ILS",
		female:   words("נועה=noa, תמר=tamar, מאיה=maya, יעל=yael, שירה=shira, רחל=rachel, מיכל=michal, אביגיל=avigail, הילה=hila, דנה=dana, רוני=roni, ענת=anat"),
		male:     words("דוד=david, יוסף=yosef, משה=moshe, נועם=noam, איתי=itai, אריאל=ariel, עומר=omer, יונתן=yonatan, גיא=guy, אלון=alon, רון=ron, שלמה=shlomo"),
		families: families("כהן=cohen, לוי=levi, מזרחי=mizrahi, פרץ=peretz, ביטון=biton, אברהם=avraham, פרידמן=friedman, גולן=golan, שפירא=shapira, ברק=barak, אוחיון=ohayon, חדד=hadad, רוזן=rosen, שחר=shahar, אלמוג=almog, קפלן=kaplan"),
		street:   "STREET NUMBER", streets: list("רחוב הרצל, שדרות רוטשילד, רחוב דיזנגוף, רחוב ביאליק, דרך הים, רחוב הגפן, שדרות בן גוריון"),
		cities: list("חיפה, תל אביב, ירושלים, באר שבע, נתניה, אשדוד"), postal: "#######",
		trades: words("הובלות=transport, מאפייה=bakery, ייעוץ=consulting, רהיטים=furniture, תוכנה=software, בנייה=construction"), forms: list("בע\"מ, ובניו"),
		calling: "972", trunk: "0", mobiles: list("522######, 544######"), landlines: list("3691####, 4852####"),
	},
	{
		weight: 5, countries: list("中国, China, CN"), code: "CN", language: "zh-CN", zone: "Asia/Shanghai", currency: "CNY",
		female:   pairs("芳=fang, 丽=li, 静=jing, 敏=min, 秀=xiu, 雪=xue, 婷=ting, 玉=yu, 梅=mei, 晓=xiao", "娜=na, 英=ying, 华=hua, 兰=lan, 燕=yan, 琳=lin, 怡=yi, 云=yun"),
		male:     pairs("伟=wei, 强=qiang, 磊=lei, 军=jun, 勇=yong, 建=jian, 志=zhi, 文=wen, 国=guo, 海=hai", "明=ming, 杰=jie, 涛=tao, 平=ping, 刚=gang, 辉=hui, 鹏=peng, 宇=yu"),
		families: families("王=wang, 李=li, 张=zhang, 刘=liu, 陈=chen, 杨=yang, 赵=zhao, 黄=huang, 周=zhou, 吴=wu, 徐=xu, 孙=sun, 胡=hu, 朱=zhu, 高=gao, 林=lin, 何=he, 郭=guo, 马=ma, 罗=luo, 欧阳=ouyang, 司徒=situ"),
		street:   "STREETNUMBER号", streets: list("中山路, 人民路, 南京东路, 解放大道, 建设街, 和平路, 长江路, 西湖大道"),
		cities: list("上海, 北京, 广州, 深圳, 成都, 杭州, 西安, 青岛"), postal: "2#####",
		trades: words("贸易=trade, 物流=logistics, 科技=tech, 纺织=textiles, 食品=foods, 电子=electronics, 建筑=construction"), forms: list("有限公司, 股份有限公司, 集团"),
		calling: "86", trunk: "0", mobiles: list("138########, 159########"), landlines: list("216######8, 106######8"),
	},
	{
		weight: 4, countries: list("日本, Japan, JP"), code: "JP", language: "ja", zone: "Asia/Tokyo", currency: "JPY",
		female:   words("さくら=sakura, 陽菜=hina, 美咲=misaki, 結衣=yui, 葵=aoi, 花子=hanako, 恵子=keiko, 由美=yumi, 直美=naomi, 真由美=mayumi, ひかり=hikari, エミ=emi"),
		male:     words("太郎=taro, 健一=kenichi, 翔太=shota, 大輔=daisuke, 拓也=takuya, 浩=hiroshi, 誠=makoto, 隆=takashi, 蓮=ren, 直樹=naoki, 哲也=tetsuya, ケン=ken"),
		families: families("佐藤=sato, 鈴木=suzuki, 高橋=takahashi, 田中=tanaka, 伊藤=ito, 渡辺=watanabe, 山本=yamamoto, 中村=nakamura, 小林=kobayashi, 加藤=kato, 吉田=yoshida, 山田=yamada, 佐々木=sasaki, 山口=yamaguchi, 松本=matsumoto, 井上=inoue, 木村=kimura, 林=hayashi, 清水=shimizu, 斎藤=saito, 森=mori, 池田=ikeda"),
		street:   "STREETNUMBER番地", streets: list("丸の内一丁目, 本町二丁目, 中央三丁目, 緑町, 栄町, 桜台一丁目, 港南二丁目, 大手町"),
		cities: list("東京都, 大阪市, 横浜市, 名古屋市, 札幌市, 福岡市, 京都市, 神戸市"), postal: "1##-00##",
		trades: words("商事=shoji, 運輸=unyu, 工業=kogyo, 食品=shokuhin, 建設=kensetsu, 電機=denki, 出版=shuppan"), forms: list("株式会社, 合同会社, 有限会社"),
		calling: "81", trunk: "0", abroad: "010", mobiles: list("9012######, 8034######"), landlines: list("335######, 664######"),
	},
	{
		weight: 3, countries: list("대한민국, South Korea, KR"), code: "KR", language: "ko", zone: "Asia/Seoul", currency: "KRW",
		female:   pairs("서=seo, 지=ji, 수=su, 민=min, 은=eun, 하=ha", "연=yeon, 아=a, 영=young, 희=hee, 진=jin, 윤=yoon"),
		male:     pairs("민=min, 지=ji, 준=jun, 성=sung, 동=dong, 현=hyun", "호=ho, 우=woo, 석=seok, 훈=hoon, 준=jun, 수=soo"),
		families: families("김=kim, 이=lee, 박=park, 최=choi, 정=jung, 강=kang, 조=cho, 윤=yoon, 장=jang, 임=lim, 한=han, 오=oh, 서=seo, 신=shin, 권=kwon, 남궁=namgung"),
		street:   "STREET NUMBER", streets: list("세종대로, 강남대로, 테헤란로, 중앙로, 해운대로, 한강로, 종로, 동성로"),
		cities: list("서울, 부산, 인천, 대구, 대전, 광주, 수원, 제주"), postal: "0####",
		trades: words("물류=logistics, 전자=electronics, 건설=construction, 식품=foods, 무역=trade, 섬유=textiles"), forms: list("주식회사, 유한회사, 그룹"),
		calling: "82", trunk: "0", abroad: "002", mobiles: list("1023######, 1045######"), landlines: list("2312####, 51742####"),
	},
	{
		weight: 4, countries: list("भारत, India, IN"), code: "IN", language: "hi", zone: "Asia/Kolkata", currency: "INR",
		female:   words("प्रिया=priya, अनीता=anita, सुनीता=sunita, कविता=kavita, नेहा=neha, पूजा=pooja, दीपिका=deepika, आरती=aarti, मीरा=meera, लक्ष्मी=lakshmi, सीमा=seema, ऐश्वर्या=aishwarya"),
		male:     words("राहुल=rahul, अमित=amit, राजेश=rajesh, संजय=sanjay, विजय=vijay, अर्जुन=arjun, कृष्ण=krishna, सुरेश=suresh, मनोज=manoj, दीपक=deepak, रवि=ravi, आदित्य=aditya"),
		families: families("शर्मा=sharma, वर्मा=verma, गुप्ता=gupta, सिंह=singh, कुमार=kumar, पटेल=patel, मिश्रा=mishra, यादव=yadav, जोशी=joshi, अग्रवाल=agrawal, चौधरी=chaudhary, त्रिपाठी=tripathi, मेहता=mehta, नायर=nair, दास=das, कपूर=kapoor"),
		street:   "NUMBER, STREET", streets: list("महात्मा गांधी मार्ग, स्टेशन रोड, नेहरू नगर, गांधी चौक, लाल बाग, सरदार पटेल मार्ग, राजपथ"),
		cities: list("मुंबई, दिल्ली, जयपुर, लखनऊ, भोपाल, पटना, इंदौर, वाराणसी"), postal: "4#####",
		trades: words("ट्रेडर्स=traders, परिवहन=transport, उद्योग=industries, वस्त्र=textiles, मसाला=spices, निर्माण=construction"), forms: list("प्रा. लि., लिमिटेड, एंड संस"),
		calling: "91", trunk: "0", mobiles: list("98########, 70########"), landlines: list("222#######, 112#######"),
	},
}
