"""Words with a full stop that ends no sentence, and words that begin one, by language (ISO 639-1).

They add to what sentencex knows: it lacks titles of most languages, and what stands before numbers.
"""

from functools import cache

# a name follows: never the end of a sentence. Written small they match any case, written large only that.
_TITLES = {
    "": "mr mrs ms mx dr prof",
    "en": "messrs rev hon gen col maj capt cmdr lt sgt cpl pvt adm gov sen rep pres supt mt ft",
    "fr": "M MM mme mmes mlle mlles mgr Me pr st ste",
    "de": "hr fr frl fam dipl ing med rer nat phil jur hl st",
    "es": "sr sra srta sres sras D D.ª Dª dra profa lic ing sto sta st fr",
    "it": "sig sigg sig.ra dott dott.ssa avv ing geom arch on rag mons s ss",
    "pt": "sr sra srs sras srta dra drs profa eng exmo exma D sto sta",
    "nl": "dhr mevr mw mej drs ir ing ds st",
    "da": "hr fr frk",
    "nb": "hr fr frk",
    "sv": "hr fr frk",
    "fi": "hra rva nti",
    "pl": "mgr inż ks ul al św",
    "cs": "ing mgr mudr judr phdr bc doc sv ul nám",
    "sk": "ing mgr mudr judr phdr bc doc sv ul nám",
    "hu": "ifj id özv",
    "ro": "dl dna d-na d-l dra str",
    "tr": "doç av sn yrd",
    "ru": "проф акад им тов гр св ул пл наб пер д",
    "uk": "проф акад ім тов св вул пл пров",
    "bg": "проф акад св ул г-н г-жа инж",
    "el": "κ κα κκ κος δρ καθ αγ",
    "hi": "डॉ श्री श्रीमती प्रो पं",
    "mr": "डॉ श्री सौ प्रा",
    "bn": "ড ডা মো",
    "vi": "ts ths gs pgs tp bs ks",
    "id": "bpk sdr drs ir jl tn ny",
    "ms": "en pn dato",
}

# a number follows: no end before one
_BEFORE_NUMBERS = {
    "": "no nos nr nro n n° nº n.º num núm p pp pg pag pagg pág págs s str fig figs abb abbild tab vol bd ch chap cap"
    " kap sec sect art arts abs ziff eq par ca ver v op tel rp jl poz obr rys č čís br cca ok т стр рис гл п пп ст"
    " с д кв тел μ σελ αρ max min máx mín",
    "en": "jan feb mar apr jun jul aug sep sept oct nov dec pt ex approx rm bldg",
}

# the sentence may go on, and does where no word follows that begins one; again large letters match only large ones
_OTHERS = {
    "": "etc ca cf vs tel",
    "en": "approx inc ltd co corp jr sr dept est apt ave blvd rd st misc viz al esp incl ext eds oz lb lbs yd ft hr hrs"
    " Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thurs Fri Sat Sun univ assn bros"
    " abbr orig pop",
    "fr": "env éd hab av bd boul apr tél ext chap ex réf dép qté janv févr avr juil sept oct nov déc suiv ém",
    "de": "usw bzw bspw vgl evtl ggf inkl exkl zzgl mind mio mrd abt str geb gest ges geschl gegr allg ehem eigtl"
    " entspr sog urspr jh jhd bd hrsg verl aufl kap abb tab ff f mwst fa tägl vorm nachm std sek zt zz u.a u.u jan feb"
    " apr aug sept okt nov dez lt bes betr div dgl event gem ing jährl kath ev lfd monatl nachf näml phil rd röm"
    " südl nördl östl westl stellv ugs zus zzt gmbh kg",
    "es": "ej pág págs cap núm av avda ud uds ee uu aa cc ff apdo izq dcha ptas aprox dpto depto"
    " hnos gral admón vid a.c d.c",
    "it": "ecc pag pagg cap es ca circa all on tel rif sec a.c d.c",
    "pt": "pág págs cap ex av aprox tel r dep séc",
    "nl": "enz bijv nr blz evt o.a m.n d.w.z t.a.v i.v.m resp incl excl ong jl a.s e.a e.d dwz ca tel",
    "da": "f.eks osv bl.a dvs ca nr mv mm inkl ekskl kl kr stk evt iflg pga m.v tlf",
    "nb": "f.eks osv bl.a dvs ca nr mv inkl ekskl kl kr stk evt ifølge pga tlf",
    "sv": "t.ex osv bl.a dvs ca nr m.m m.fl inkl exkl kl kr st ev pga s.k tel",
    "fi": "esim ym yms jne n ks ns mm nro klo puh s os huom vrt",
    "pl": "np itd itp tzn tj m.in tel nr str r w zob por ww br godz tys mln mld poz ur zm",
    "cs": "např atd apod tj tzv č str tel mj resp popř r stol tis mil mld nám kč vč viz",
    "sk": "napr atď tzv tj č str tel resp r stor tis mil mld",
    "hu": "pl stb kb ún vö sz u ker",
    "ro": "ex etc nr pag tel str bl ap sc",
    "tr": "vb vs örn bkz no cad sok mah apt tel",
    "ru": "г гг в вв др пр т д е п см ср стр рис гл руб коп тыс млн млрд напр обл р н э в.ч т.д т.п т.е ок ч мин сек",
    "uk": "р рр ст др т д п див рис с грн тис млн млрд напр обл о м хв",
    "bg": "г гр др т н напр вж лв хил млн млрд стр ул",
    "el": "π.χ κ.λπ κλπ κ.ά δηλ βλ σελ αρ τηλ μ.μ π.μ μ.χ",
    "vi": "v.v tp q p",
    "id": "dsb dll dst a.n d.a tel hlm",
}

# ordinary words that sentencex takes for abbreviations
_WORDS = {
    "ca": "mar no",
    "da": "del din i kat med ned var",
    "de": "art bart mag mich",
    "en": "art id ill la ma may me miss no ok ore pa",
    "es": "auto bien con contra entre extra mar mono no sobre tras vid",
    "fr": "art vol",
    "it": "ai al ama bar di fa fin ha in ma mai mar me no se su te va via",
    "nb": "del din i kat med ned var",
    "nl": "dat hand me ver",
    "ru": "муж",
    "sk": "tu",
}

# words, with their capital, that begin a sentence much more often than they follow an abbreviation
_STARTERS = {
    "en": "A After All Also Although An And Another Any Are As At Because Before But By Can Could Did Do Does Don't"
    " Each Even Every Everyone For From Had Has Have He Hence Her Here His How However I If In Is It Its It's I'm I've"
    " Just Let Many Maybe Most My Neither Never No Nobody None Not Nothing Now Of On Once One Only Or Our Over Perhaps"
    " Please She Should Since So Some Sometimes Still Such That That's The Their Then There Therefore These They This"
    " Those Though Thus To Today Under Until Was We Were What When Where Which While Who Whose Why Will With Without"
    " Would Yes Yet You Your",
    "fr": "Ah Alors Après Au Aucun Aujourd'hui Aussi Avant Avec Bien C'est C'était Ça Car Ce Cela Ces Cet Cette Chaque"
    " Comme Comment Dans De Depuis Des Donc Du Elle Elles En Est-ce Et Il Ils J'ai Je L'on La Le Les Leur Leurs Lui Ma"
    " Mais Mes Mon Ne Non Nos Notre Nous On Où Oui Ou Par Parce Pendant Personne Pour Pourquoi Puis Quand Que Quel"
    " Quelle Qui Quoi Sa Sans Se Ses Si Son Sur Ta Tes Ton Tous Tout Tu Un Une Vos Votre Vous",
    "de": "Aber Alle Als Also Am An Auch Auf Aus Bei Bis Bitte Da Damals Danach Dann Darum Das Dass Dem Den Der Des"
    " Deshalb Die Dies Diese Dieser Dieses Doch Dort Du Ein Eine Einen Einer Er Es Frau Für Gestern Hat Herr Heute Hier"
    " Ich Ihr Ihre Im In Ist Ja Jede Jeder Jedoch Jetzt Kann Kein Keine Man Manche Mein Meine Mit Morgen Nach Nachdem"
    " Nein Nicht Nichts Niemand Noch Nun Nur Ob Oder Ohne Schon Sehr Seit Sein Seine Seitdem Sie Sind So Sogar Später"
    " Trotz Trotzdem Um Und Uns Unser Vielleicht Viele Von Vor Während War Waren Warum Was Weil Wenn Wer Wie Wieder Wir"
    " Wird Wo Zu Zum Zur Zwar",
    "es": "A Ahora Al Algunos Ante Antes Así Aunque Aún Cada Como Con Cuando Cómo Cuándo De Del Desde Después Dónde"
    " Donde El Ella Ellas Ellos En Entonces Era Es Esa Ese Eso Esta Estas Este Esto Estos Están Está Fue Ha Hay Hoy La"
    " Las Le Les Lo Los Luego Mi Mientras Muchos Muy Más Nadie No Nos Nosotros Nuestro Nunca O Para Pero Por Porque"
    " Pues Que Quién Qué Se Según Si Sin Sobre Solo Son Su Sus Sí También Tampoco Te Todo Todos Tras Tu Tú Un Una Usted"
    " Y Ya Yo Él",
    "it": "A Ai Al Alla Anche Che Chi Ci Come Con Così Cosa Da Dal Dalla Dopo Dove Di E Era Gli Ha Ho I Il In Io La Le"
    " Lei Lo Loro Lui Ma Mi Nel Nella Nessuno No Noi Non O Ogni Ora Per Perché Però Poi Qual Quale Quando Quello Questa"
    " Questo Se Si Sono Sua Suo Tu Tutti Un Una Voi È",
    "pt": "A Agora Ainda Antes Ao As Até Cada Com Como Da De Depois Do E Ela Elas Ele Eles Em Então Era Essa Esse Esta"
    " Este Eu Foi Há Hoje Isso Já Mais Mas Meu Muito Na Nada Nem Ninguém No Nos Nunca Não Nós O Onde Os Ou Para Pela"
    " Pelo Por Porque Quando Que Quem Se Sem Ser Seu Sim Sobre Sua Também Tudo Um Uma Você Vocês É",
    "nl": "Alle Als Bij Daar Daarna Dan Dat De Deze Dit Door Een Elk En Er Haar Heeft Het Hier Hij Hoe Ik Iedereen In"
    " Is Ja Jij Je Maar Met Mijn Na Nee Niemand Niet Nu Of Om Ons Onze Ook Op Over Toen Tot Uit Van Veel Voor Waar"
    " Waarom Want Was Wat We Wie Wij Zal Ze Zij Zijn Zo",
    "da": "De Den Der Det Du En Er Et Han Hun Hvad Hvor Hvornår Hvorfor I Ja Jeg Man Men Nej Nu Og Så Vi",
    "nb": "De Den Der Det Du En Er Et Han Hun Hva Hvor Når Hvorfor I Ja Jeg Man Men Nei Nå Og Så Vi",
    "sv": "De Den Det Du En Ett Han Hon I Ja Jag Man Men Nej Nu Och När Så Sedan Vad Var Varför Vi Är",
    "fi": "Ei Hän He Ja Joka Kuka Kun Kyllä Me Minä Missä Mitä Mutta Nyt Se Sinä Te Tämä",
    "pl": "A Ale Co Czy Dlaczego Gdy Gdzie I Ja Jak Jest Kiedy Kto My Na Nie On Ona One Oni Po Potem Są Tak To Ty W Z",
    "cs": "A Ale Co Já Jak Je Kde Kdo Kdy Když My Na Ne Nikdo On Ona Oni Po Potom Proč Pak S Tak To Ty V Z",
    "hu": "A Az De Egy Én Ez Hol Hogyan Igen Ha Ki Mi Miért Mikor Most Nem Ő Ők Te És",
    "ro": "A Acest Această Când Ce Cine Cu Da Dar De După El Ea Ei În La Nu Noi O Pe Și Unde Un",
    "tr": "Ama Ben Biz Bu Bunlar Evet Hayır Kim Ne Neden Nerede O Onlar Sen Siz Şimdi Ve",
    "ru": "А Без Был Были Было В Вот Все Всё Вы Где Да Для До Если Есть За И Из К Как Когда Кто Кто-то Мы На Не Нет Но"
    " О Он Она Они Оно От По Под Потом После Почему При Про С Так Там Теперь То Тогда Ты У Что Эта Эти Это Этот Я",
    "uk": "А Але Був Була В Ви Він Вона Вони Де До З За І Й Коли Ми На Не Ні О По Потім Так Там Ти То Тут У Це Цей"
    " Чому Хто Що Щоб Я Як Якщо",
    "bg": "А В Все Да До За И Как Когато Къде Кой На Не Но От По После Това Тази Те Той Тя Ти Ние Аз С Са Вие Защо Що",
    "el": "Αλλά Αν Αυτή Αυτό Αυτός Για Δεν Είναι Εγώ Εμείς Έτσι Η Και Μετά Μη Ναι Ο Οι Όμως Όταν Όχι Που Πώς Πού Σε"
    " Στην Στο Τα Τη Την Τι Το Τον Τότε",
}

# "3." is a third
_ORDINALS = "de da nb nn no sv fi is et lv cs sk sl hr sr bs hu pl tr lb fo eo eu ka"


@cache
def ordinals() -> frozenset[str]:
    """Languages that write a full stop after an ordinal number."""
    return frozenset(_ORDINALS.split())


@cache
def titles(language: str) -> frozenset[str]:
    """Abbreviations before names (`Dr`), without their full stop; written small where any case is meant."""
    return _with_common(_TITLES, language)


@cache
def before_numbers(language: str) -> frozenset[str]:
    """Abbreviations before numbers (`p`, `fig`), in small letters."""
    return _with_common(_BEFORE_NUMBERS, language)


@cache
def others(language: str) -> frozenset[str]:
    """Abbreviations that stand within a sentence and at its end (`etc`), in small letters where any case is meant."""
    return _with_common(_OTHERS, language)


@cache
def words(language: str) -> frozenset[str]:
    """Words that end a sentence although sentencex takes them for abbreviations, in small letters."""
    return frozenset(_WORDS.get(language, "").split())


@cache
def starters(language: str) -> frozenset[str]:
    """Words that begin a sentence, with their capital; none where the language is not in the table."""
    return frozenset(_STARTERS.get(language, "").split())


def _with_common(table: dict[str, str], language: str) -> frozenset[str]:
    return frozenset(f"{table['']} {table.get(language, '')}".split())
